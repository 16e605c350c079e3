/** How figures and durations read; times are in times.js. */

import { locale, t, word } from "./texts.js";
import { dateTime } from "./times.js";

const NUMBER = new Intl.NumberFormat(locale(), { maximumFractionDigits: 3, useGrouping: false });
const SIZES = [["GB", 1024 ** 3], ["MB", 1024 ** 2], ["KB", 1024]];
const STEPS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

export const NONE = "–";

export const number = (value) => (typeof value === "number" ? NUMBER.format(value) : NONE);

/** 1536 → "1.5 KB". */
export function bytes(value) {
  if (typeof value !== "number") return NONE;
  const size = SIZES.find(([, least]) => value >= least) ?? ["B", 1];
  return `${NUMBER.format(Math.round((value / size[1]) * 10) / 10)} ${size[0]}`;
}

export const orNone = (value) => (value === null || value === undefined || value === "" ? NONE : String(value));

/** 3725 → "1 h 2 min": the two largest units. */
export function duration(seconds) {
  if (typeof seconds !== "number") return NONE;
  const parts = [];
  let rest = Math.max(0, Math.round(seconds));
  for (const [unit, size] of STEPS) {
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${word(unit, "unit")}`);
    rest %= size;
  }
  return parts.join(" ") || `0 ${word("s", "unit")}`;
}

/** How long ago, from milliseconds since 1970. */
export function ago(ms, nowMs) {
  if (ms === null || ms === undefined) return t("common.never");
  const seconds = Math.round((nowMs - ms) / 1000);
  return seconds < 2 ? t("format.just_now") : t("format.ago", { seconds: duration(seconds) });
}

export const sensorValue = ({ value, unit, raw }) =>
  value === null || value === undefined ? t("format.raw", { raw: number(raw) }) : `${number(value)} ${unit ?? ""}`.trim();

/** on, off, or on at a share: value 0…1 of a PWM output. */
export function actuatorState({ state, value }) {
  if (state === null || state === undefined) return t("format.unknown");
  const isPartial = typeof value === "number" && value > 0 && value < 1;
  return state && isPartial ? t("format.on_2", { it: Math.round(value * 100) }) : state ? t("format.on") : t("format.off");
}

/** What was known last and since when it is not: "last known off, not known since 28 Nov 2026, 14:03:12". */
export const lastKnown = (text, untilMs) =>
  t("format.last_known_not_known_since", { text, it: untilMs ? dateTime(untilMs) : t("format.then") });

/** What was known last of an actuator whose state is not known. */
export function lastReported({ state, last_state: reported = null, value, known_until: until }) {
  const last = state ?? reported;
  if (last !== null) return lastKnown(actuatorState({ state: last, value }), until);
  return until ? t("format.not_known_since", { until: dateTime(until) }) : t("format.no_state_was_reported_yet");
}

/** Whether the state of an actuator is known now. */
export const isStateKnown = ({ known, state }) => known !== false && state !== null;

/** JSON indented, or the text as it is when it is none. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
