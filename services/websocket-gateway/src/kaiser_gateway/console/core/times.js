/** Times as people read them: in the time zone of the site, which is named, and in the language of the console. */

import { locale } from "./texts.js";

const NONE = "–";
const TO_THE_SECOND = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DATE_AND_TIME = { day: "numeric", month: "short", year: "numeric", ...TO_THE_SECOND };
const KINDS = {
  time: { ...TO_THE_SECOND, fractionalSecondDigits: 3 },
  day: { day: "numeric", month: "short" },
  hourAndMinute: { hour: "2-digit", minute: "2-digit" },
  seconds: TO_THE_SECOND,
  dateTime: { ...DATE_AND_TIME, timeZoneName: "short" },
};
const FIELD = { ...TO_THE_SECOND, year: "numeric", month: "2-digit", day: "2-digit", hourCycle: "h23" };

let zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
let field = new Intl.DateTimeFormat("en-GB", { ...FIELD, timeZone: zone });
const formats = new Map();

/** Before the console is drawn. `name`: the site's time zone (IANA), null: that of the browser. */
export function openTimes(name) {
  if (name) zone = name;
  formats.clear();
  field = new Intl.DateTimeFormat("en-GB", { ...FIELD, timeZone: zone });
}

/** The name of the time zone in which times are shown. */
export const zoneName = () => zone;

function format(kind, date) {
  if (!formats.has(kind)) formats.set(kind, new Intl.DateTimeFormat(locale(), { ...KINDS[kind], timeZone: zone }));
  return formats.get(kind).format(date);
}

/** A time of day from seconds since 1970. */
export const timeOfDay = (seconds) => format("time", seconds * 1000);

/** A label of a time axis on which labels are `step` seconds apart. */
export function axisTime(seconds, step) {
  return format(step >= 86_400 ? "day" : step >= 60 ? "hourAndMinute" : "seconds", seconds * 1000);
}

/** Date and time from milliseconds since 1970, with the time zone. */
export const dateTime = (ms) => (ms === null || ms === undefined ? NONE : format("dateTime", ms));

/** The same in UTC, as the API and CSV have it: "2026-11-29T14:03:12Z". */
export const utc = (ms) => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

/** A time as a field `datetime-local` has it: "2026-11-29T15:03:12", in the zone shown. */
export const toField = (ms) => new Date(wallClock(ms)).toISOString().slice(0, 19);

/** What such a field says, in ms; NaN where it is empty. An hour that the clock skips is taken as the one after it. */
export function ofField(text) {
  const asUtc = Date.parse(`${text}Z`);
  const guess = asUtc - offset(asUtc);
  return asUtc - offset(guess);
}

const offset = (ms) => (Number.isNaN(ms) ? NaN : wallClock(ms) - Math.floor(ms / 1000) * 1000);

/** What clocks of the zone show, as if it were UTC, in ms. */
function wallClock(ms) {
  const parts = Object.fromEntries(field.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
}
