/** What the page Explore shows, as it stands in its address, and as a file; pure. */

export const MOST_SENSORS = 6;
const LONGEST_MS = 2 * 366 * 86_400_000;
const CELL_OF_A_FORMULA = /^[=+\-@\t\r]/;

/** {range, ghost, sensors} → parts of an address; sensors are [{esp_id, gpio, sensor_type, address}]. */
export const toParts = ({ range, ghost, sensors }) => [
  `${range.spanMs}${range.toMs === null ? "" : `-${range.toMs}`}${ghost ? "-before" : ""}`,
  ...sensors.map(({ esp_id: espId, gpio, sensor_type: type, address = "" }) => [espId, gpio, type, address].join(",")),
];

/** The same from the parts of an address; what cannot be read of it is left out. */
export function fromParts([spec = "", ...keys], usualSpanMs) {
  const [, span, to, ghost] = /^(\d{1,12})(?:-(\d{1,14}))?(-before)?$/.exec(spec) ?? [];
  const spanMs = Number(span);
  const isSpan = spanMs >= 1000 && spanMs <= LONGEST_MS;
  const sensors = keys.map((key) => key.split(",")).filter(([espId, gpio, type]) => espId && /^\d{1,3}$/.test(gpio) && type)
    .map(([espId, gpio, type, address = ""]) => ({ esp_id: espId, gpio: Number(gpio), sensor_type: type, address }));
  return {
    range: { spanMs: isSpan ? spanMs : usualSpanMs, toMs: isSpan && to ? Number(to) : null },
    ghost: Boolean(ghost),
    sensors: sensors.slice(0, MOST_SENSORS),
  };
}

/** Which sensors fit a text: each word is in the name, type, device or zone. `zones`: by device. */
export function matching(sensors, text, zones) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return sensors.filter((sensor) => {
    const said = `${nameOf(sensor)} ${sensor.sensor_type} ${sensor.esp_id} ${zones[sensor.esp_id] ?? ""} ${sensor.unit ?? ""}`;
    return words.every((word) => said.toLowerCase().includes(word));
  });
}

export const nameOf = ({ name, sensor_type: type, gpio, address }) =>
  name || `${type} on gpio ${gpio}${address ? ` at ${address}` : ""}`;

/** Points moved later by a time: the period before, below the present one. */
export const shifted = (points, byMs) => points.map((point) => ({ ...point, ts: point.ts + byMs }));

/** A file of what is seen: [{name, zone, esp_id, unit, points}] → CSV with times in UTC (ISO 8601). */
export function toCsv(series) {
  const rows = series.flatMap(({ name, zone, esp_id: espId, unit, points }) =>
    points.map(({ ts, mean, min, max, count }) =>
      [new Date(ts).toISOString(), name, espId, zone, unit, mean, min, max, count]));
  return [["time", "sensor", "device", "zone", "unit", "mean", "lowest", "highest", "readings"], ...rows]
    .map((row) => row.map(cell).join(",")).join("\r\n");
}

function cell(value) {
  if (typeof value === "number") return String(value);
  const text = String(value ?? "");
  const safe = CELL_OF_A_FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
