/** How figures, durations and events read; times are in times.js. */

import { dateTime } from "./times.js";

const NUMBER = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 3, useGrouping: false });
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
    if (rest >= size && parts.length < 2) parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
  }
  return parts.join(" ") || "0 s";
}

/** How long ago, from milliseconds since 1970. */
export function ago(ms, nowMs) {
  if (ms === null || ms === undefined) return "never";
  const seconds = Math.round((nowMs - ms) / 1000);
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

export const sensorValue = ({ value, unit, raw }) =>
  value === null || value === undefined ? `raw ${number(raw)}` : `${number(value)} ${unit ?? ""}`.trim();

/** on, off, or on at a share: value 0…1 of a PWM output. */
export function actuatorState({ state, value }) {
  if (state === null || state === undefined) return "unknown";
  const isPartial = typeof value === "number" && value > 0 && value < 1;
  return state && isPartial ? `on, ${Math.round(value * 100)} %` : state ? "on" : "off";
}

/** What was known last and since when it is not: "last known off, not known since 28 Nov 2026, 14:03:12". */
export const lastKnown = (text, untilMs) =>
  `last known ${text}, not known since ${untilMs ? dateTime(untilMs) : "then"}`;

const SUMMARIES = {
  sensor_data: (data) => `gpio ${data.gpio} ${data.sensor_type}${data.address ? ` ${data.address}` : ""}: ${sensorValue(data)}, ${data.quality}`,
  actuator_status: (data) => `gpio ${data.gpio} ${data.actuator_type} is ${actuatorState(data)}`,
  actuator_response: (data) => `gpio ${data.gpio} ${data.command}: ${data.state ?? (data.success ? "done" : "failed")}`,
  actuator_alert: (data) => `gpio ${data.gpio} ${data.alert_type}: ${data.message ?? ""}`,
  esp_health: (data) => `${data.status}, ${number(data.heap_free)} B free, ${number(data.wifi_rssi)} dBm`,
  config_response: (data) => `configuration ${data.status}: ${data.message ?? ""}`,
  zone_assignment: (data) => `zone ${orNone(data.zone_id)} ${data.status}`,
  logic_execution: (data) => `rule ${data.rule_name}: ${data.success ? "done" : data.reason ?? "not done"}`,
  system_event: (data) => `${data.event}: ${data.message}`,
  alarm: (data) => `${data.severity} alarm ${data.what.replace("_", " ")}${data.by ? ` by ${data.by}` : ""}: ${data.message}`,
  factory_module: (data) => `${data.type ?? data.kind} ${data.serial}: ${data.availability}${data.action ? `, ${data.action.command ?? "?"} ${data.action.state}` : ""}`,
  factory_order: (data) => `${data.type ?? "?"} order ${data.state}, step ${data.steps_done} of ${data.steps_total}`,
  factory_stock: (data) => `store ${data.hbw}: ${data.bays.filter(({ type }) => type).length} pieces`,
  factory_command: (data) => `${data.do} by ${data.user}: ${data.state}`,
  factory_replay: (data) => `replay of recording ${data.recording_id}: ${data.state}, ${data.number} of ${data.total} messages`,
  factory_environment: (data) => `environment ${data.env} (${data.kind}) is in force`,
};

/** An event in one line. */
export const summary = (event) => SUMMARIES[event.type]?.(event.data) ?? event.type;

/** JSON indented, or the text as it is when it is none. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
