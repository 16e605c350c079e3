/** What the page Explore shows, as it stands in its address, and as a file; pure. */

import { sensorName } from "./names.js";
import { sensorKey } from "./keys.js";
import { alarmText } from "./sentences.js";
import { dateTime } from "./times.js";
import { t, word } from "./texts.js";

export const MOST_SENSORS = 6;
export const MOST_MARKS = 100;
const MOST_BEFORE = 50;
const ONE_DEPLOYMENT_MS = 120_000;
export const LONGEST_MS = 2 * 366 * 86_400_000;
const CELL_OF_A_FORMULA = /^[=+\-@\t\r]/;

/** {range, ghost, marked, sensors} → parts of an address; sensors are [{esp_id, gpio, sensor_type, address}]. */
export const toParts = ({ range, ghost, marked = true, sensors }) => [
  `${range.spanMs}${range.toMs === null ? "" : `-${range.toMs}`}${ghost ? "-before" : ""}${marked ? "" : "-plain"}`,
  ...sensors.map(({ esp_id: espId, gpio, sensor_type: type, address = "" }) => [espId, gpio, type, address].join(",")),
];

/** The same from the parts of an address; what cannot be read of it is left out. */
export function fromParts([spec = "", ...keys], usualSpanMs) {
  const [, span, to, ghost, plain] = /^(\d{1,12})(?:-(\d{1,14}))?(-before)?(-plain)?$/.exec(spec) ?? [];
  const spanMs = Number(span);
  const isSpan = spanMs >= 1000 && spanMs <= LONGEST_MS;
  const sensors = keys.map((key) => key.split(",")).filter(([espId, gpio, type]) => espId && /^\d{1,3}$/.test(gpio) && type)
    .map(([espId, gpio, type, address = ""]) => ({ esp_id: espId, gpio: Number(gpio), sensor_type: type, address }));
  return {
    range: { spanMs: isSpan ? spanMs : usualSpanMs, toMs: isSpan && to ? Number(to) : null },
    ghost: Boolean(ghost),
    marked: !plain,
    sensors: sensors.slice(0, MOST_SENSORS),
  };
}

/** Which sensors fit a text: each word is in the name, type, device or zone. `zones`, `names`: by device. */
export function matching(sensors, text, zones, names = {}) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return sensors.filter((sensor) => {
    const said = `${sensorName(sensor)} ${sensor.sensor_type} ${sensor.esp_id} ${names[sensor.esp_id] ?? ""} ${zones[sensor.esp_id] ?? ""} ${sensor.unit ?? ""}`;
    return words.every((word) => said.toLowerCase().includes(word));
  });
}

/** Points moved later by a time: the period before, below the present one. */
export const shifted = (points, byMs) => points.map((point) => ({ ...point, ts: point.ts + byMs }));

/**
 * What happened in a time, {marks, left, areAll}: [{ts, kind, text, until}], oldest first, and how many of what is given
 * are left out. `until` (ms): of what lasted, null for a moment. What began before the time shown stands at its start, and
 * is kept, up to MOST_BEFORE; of the rest the newest are. `spans` of alarms and `starts` of services as the API has them;
 * `histories`: [{name, items}] of actuators; `areAll`: whether the API has no more; `directory`: names for the texts.
 */
export function marksOf({ spans = [], histories = [], starts = [], areAll = true, directory }, [fromMs, toMs]) {
  const lasted = spans.map((span) => ofSpan(span, directory, fromMs, toMs)).filter(({ ts, until }) => ts <= toMs && until >= fromMs);
  const moments = [...histories.flatMap(ofHistory), ...ofStarts(starts)].filter(({ ts }) => ts >= fromMs && ts <= toMs);
  const found = [...lasted, ...moments].sort((one, other) => one.ts - other.ts);
  const before = found.filter(({ ts }) => ts === fromMs).slice(-MOST_BEFORE);
  const since = found.filter(({ ts }) => ts > fromMs).slice(-(MOST_MARKS - before.length));
  return { marks: [...before, ...since], left: found.length - before.length - since.length, areAll };
}

/** A time in which the condition of an alarm held; one that began before the chart begins with it. */
function ofSpan(span, directory, fromMs, toMs) {
  const { kind, severity, begun_at: begun, ended_at: ended } = span;
  const said = `${word(severity)}: ${alarmText(span, directory)}`;
  const text = ended === null ? t("explore.still_stands", { message: said }) : t("explore.from_until", { message: said, end: dateTime(ended) });
  return {
    ts: Math.max(begun, fromMs),
    until: Math.min(ended ?? toMs, toMs),
    kind: kind === "stop_in_force" ? "stop" : "alarm",
    text: begun < fromMs ? t("explore.began_before", { text, begun: dateTime(begun) }) : text,
  };
}

/** A command is in the history once for each state that it had: its first entry is when it was sent. */
const ofHistory = ({ name, items }) =>
  [...new Map(items.filter(({ kind }) => kind === "command").sort((one, other) => other.ts - one.ts)
    .map((item) => [item.command_id ?? item.ts, item])).values()]
    .map(({ ts, command, actor }) => ({ ts, until: null, kind: "command", text: t("explore.to", { command: word(command, "switch"), name, it: actor ? t("common.by", { actor }) : "" }) }));

/** Processes of Kaiser that started within two minutes are one deployment. */
function ofStarts(found) {
  const starts = found.map(({ service, version, started_at: ts }) => ({ ts, service, version })).sort((one, other) => one.ts - other.ts);
  const groups = [];
  for (const start of starts) {
    const last = groups.at(-1);
    if (last && start.ts - last.ts <= ONE_DEPLOYMENT_MS) last.services.add(start.service);
    else groups.push({ ts: start.ts, version: start.version, services: new Set([start.service]) });
  }
  return groups.map(({ ts, version, services: names }) => ({
    ts, until: null, kind: "deployment", text: t("explore.kaiser_started", { version, it: [...names].join(", ") }),
  }));
}

/**
 * A file of what is seen: [{name, zone, esp_id, unit, points, past}] → CSV with times in UTC (ISO 8601). `past`: the points
 * of the period before, at the times at which they were measured.
 */
export function toCsv(series) {
  const rows = series.flatMap(({ name, zone, esp_id: espId, unit, points, past }) =>
    [["shown", points], ["before", past]].flatMap(([period, found]) => found.map(({ ts, mean, min, max, count }) =>
      [new Date(ts).toISOString(), name, espId, zone, unit, mean, min, max, count, period])));
  return [["time", "sensor", "device", "zone", "unit", "mean", "lowest", "highest", "readings", "period"], ...rows]
    .map((row) => row.map(cell).join(",")).join("\r\n");
}

function cell(value) {
  if (typeof value === "number") return String(value);
  const text = String(value ?? "");
  const safe = CELL_OF_A_FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
