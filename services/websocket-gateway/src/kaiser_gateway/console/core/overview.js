/** What the overview shows: what is wrong now, and everything by zone, trouble first; pure. */

import { actuatorWith, knowledgeOf, withOffline } from "./known.js";
import { sensorKey } from "./keys.js";
import { filterParts } from "./list_filters.js";
import { alarmText, kindText } from "./sentences.js";
import { t } from "./texts.js";

const BAD = new Set(["bad", "error"]);
const NONE = new Map();

/** The overview after a batch of events; the same object where nothing of it changed. */
export function withEvents(overview, batch) {
  const readings = new Map();
  const health = new Map();
  const ofDevice = new Map(); // what changes actuators, in its order
  for (const event of batch) {
    const { type, data } = event;
    if (type === "sensor_data") readings.set(sensorKey(data), data);
    if (type === "esp_health" && data.status !== "unknown") health.set(data.esp_id, event);
    if (type !== "esp_health" && type !== "actuator_status") continue;
    if (!ofDevice.has(data.esp_id)) ofDevice.set(data.esp_id, []);
    ofDevice.get(data.esp_id).push(event);
  }
  if (!readings.size && !ofDevice.size) return overview;
  return {
    ...overview,
    sensors: overview.sensors.map((one) => sensorAfter(one, readings.get(sensorKey(one)), health.get(one.esp_id))),
    devices: overview.devices.map((one) => deviceAfter(one, health.get(one.esp_id))),
    actuators: overview.actuators.map((one) => actuatorWith(one, ofDevice.get(one.esp_id) ?? [])),
  };
}

/** Whether events have a reading of a sensor that is not in the overview, although it names all sensors. */
export function hasNewSensor(overview, batch) {
  if (!overview.complete || overview.missing.includes("sensor")) return false;
  const sensors = new Set(overview.sensors.map(sensorKey));
  return batch.some(({ type, data }) => type === "sensor_data" && data.quality !== "stale" && !sensors.has(sensorKey(data)));
}

/** Whether the events name a device or a sensor that is not in the overview, or change what only the server knows. */
export function needsReload(overview, batch) {
  const devices = new Set(overview.devices.map((one) => one.esp_id));
  const namesAll = overview.complete && !overview.missing.includes("health");
  return hasNewSensor(overview, batch) || batch.some(({ type, data }) =>
    (type === "esp_health" && namesAll && !devices.has(data.esp_id))
    || type === "actuator_alert" || type === "alarm" || type === "zone_assignment"
    || (type === "system_event" && data.event.startsWith("device_")));
}

function sensorAfter(sensor, reading, health) {
  let after = sensor;
  if (reading && reading.quality === "stale") {
    after = { ...after, state: reading.state ?? "silent", known_until: reading.known_until ?? after.known_until };
  } else if (reading) {
    const { ts, received_at: receivedAt = null, value = null, raw = null, unit = null, quality, sensor_name: sent = null } = reading;
    after = { ...after, name: after.name || sent, ts, received_at: receivedAt, value, raw, unit: unit ?? after.unit, quality, state: "known", known_until: null };
  }
  if (health?.data.status === "offline") {
    const { state, until } = knowledgeOf(after, withOffline(NONE, [health]), health.data.ts);
    return { ...after, state, known_until: until };
  }
  return health && after.state === "offline" ? { ...after, state: "known", known_until: null } : after;
}

function deviceAfter(device, health) {
  if (!health) return device;
  return { ...device, online: health.data.status === "online", last_seen: health.data.last_seen ?? device.last_seen };
}

/** 0: all is well; the higher, the further in front. */
const rankOf = ({ state }, { quality, watched }, limit) =>
  (state === "offline" ? 3 : (state === "silent" && watched !== false) || BAD.has(quality) || limit ? 2 : 0);

/** Every sensor with its `knowledge` now, the `limit` that it is beyond (null for none) and a `rank`. */
const judged = (sensors, nowMs, limits = NONE) => sensors.map((sensor) => {
  const knowledge = knowledgeOf(sensor, NONE, nowMs);
  const limit = limits.get(sensorKey(sensor)) ?? null;
  return { sensor, knowledge, limit, rank: rankOf(knowledge, sensor, limit) };
});

/** The limit that a sensor is beyond, the worst one, by the key of the sensor: {name, severity}. */
function limitsBeyond(alarms) {
  const found = new Map();
  for (const alarm of alarms.filter(({ kind }) => kind.startsWith("limit_"))) {
    const key = sensorKey({ ...alarm, address: alarm.address ?? "" });
    if (!found.has(key)) found.set(key, { name: alarm.kind.replace("limit_", "").replace("_", "-"), severity: alarm.severity });
  }
  return found;
}

/** Alarms that the state of a device, a sensor or a stop shows already. */
const SHOWN_BY_STATE = new Set(["device_offline", "sensor_silent", "sensor_fault", "stop_in_force"]);
const COMMAND_FAILED = "command_failed";

/** What went wrong with an actuator's last command, by "esp_id/gpio". `directory`: has the names of its devices. */
const failedCommands = (alarms, directory) => new Map(
  alarms.filter(({ kind }) => kind === COMMAND_FAILED).map((alarm) => [`${alarm.esp_id}/${alarm.gpio}`, alarmText(alarm, directory)]));

/** Zones with their devices, sensors and actuators; what has trouble is in front, else by position and name. */
export function zonesOf({ devices, sensors, actuators, alarms = [], zones: listed = [] }, nowMs) {
  const failed = failedCommands(alarms, { devices: new Map(devices.map((one) => [one.esp_id, one])), sensors: NONE });
  const zoneOf = new Map(devices.map((device) => [device.esp_id, device.zone_id ?? ""]));
  const zones = new Map();
  const known = new Map(listed.map((one) => [one.zone_id, one]));
  const zone = (espId) => {
    const id = zoneOf.get(espId) ?? "";
    if (!zones.has(id)) {
      const { name = id, position = 0 } = known.get(id) ?? {};
      zones.set(id, { id, name, position, rank: 0, devices: [], sensors: [], actuators: [] });
    }
    return zones.get(id);
  };
  for (const device of devices) {
    const rank = device.state === "approved" && !device.online ? 3 : device.state === "pending" ? 1 : 0;
    const found = zone(device.esp_id);
    found.devices.push({ device, rank });
    found.rank = Math.max(found.rank, rank);
  }
  for (const one of judged(sensors, nowMs, limitsBeyond(alarms))) {
    const found = zone(one.sensor.esp_id);
    found.sensors.push(one);
    found.rank = Math.max(found.rank, one.rank);
  }
  for (const actuator of actuators) {
    const failure = failed.get(`${actuator.esp_id}/${actuator.gpio}`) ?? null;
    const rank = actuator.emergency === "active" ? 3 : actuator.last_error || failure || actuator.known === false ? 2 : 0;
    const found = zone(actuator.esp_id);
    found.actuators.push({ actuator, failure, rank });
    found.rank = Math.max(found.rank, rank);
  }
  const inFront = (one, other) => other.rank - one.rank;
  for (const found of zones.values()) {
    for (const list of [found.devices, found.sensors, found.actuators]) list.sort(inFront);
  }
  return [...zones.values()]
    .sort((one, other) => inFront(one, other) || Number(!one.id) - Number(!other.id)
      || one.position - other.position || one.name.localeCompare(other.name));
}

/** What is wrong now: [{text, kind, page: parts of the address that leads there}]. `zoneId`: lists show this zone only. */
export function troublesOf(overview, nowMs, zoneId = "") {
  const list = (name, filters) => [name, ...filterParts({ ...filters, zone_id: zoneId })];
  const stopped = list("actuators", { state: "stopped" });
  const { devices, sensors, actuators, stops, missing } = overview;
  const silent = judged(sensors, nowMs);
  const found = [
    ...missing.map((name) => ({ text: t("overview.service_does_not_answer", { name }), kind: "bad", page: ["system"] })),
    counted(stops, (n) => t("overview.stops_in_force", { n }), "bad", ({ esp_id: espId, gpio }) =>
      (espId ? (gpio === null || gpio === undefined || gpio === 255 ? ["devices", espId] : ["actuators", espId, gpio]) : stopped), stopped, zoneId ? stops.length : overview.wrong?.stops),
    counted(devices.filter((one) => one.state === "approved" && !one.online), (n) => t("overview.devices_offline", { n }), "bad",
      ({ esp_id: espId }) => ["devices", espId], list("devices", { state: "offline" })),
    counted(silent.filter(({ sensor, knowledge }) => knowledge.state === "silent" && sensor.watched !== false), (n) => t("overview.sensors_silent", { n }), "warn",
      ({ sensor }) => sensorPage(sensor), list("sensors", { state: "silent" })),
    counted(silent.filter(({ sensor, knowledge }) => knowledge.state === "known" && BAD.has(sensor.quality)),
      (n) => t("overview.sensors_with_bad_values", { n }), "warn", ({ sensor }) => sensorPage(sensor), list("sensors", { state: "bad" })),
    counted(actuators.filter((one) => one.known !== false && one.last_error), (n) => t("overview.actuators_with_an_error", { n }),
      "warn", ({ esp_id: espId, gpio }) => ["actuators", espId, gpio], list("actuators", { state: "failed" })),
    ...alarmTroubles(overview, list),
    counted(devices.filter((one) => one.state === "pending"), (n) => t("overview.devices_waiting_for_approval", { n }),
      "info", ({ esp_id: espId }) => ["devices", espId], list("devices", { state: "pending" })),
  ];
  return found.filter(Boolean);
}

/** One part for each kind of alarm that nothing else here names; one alarm leads to its own page, several to the list. */
function alarmTroubles({ alarms = [], alarm_kinds: kinds = {} }, list) {
  return Object.entries(kinds).filter(([kind]) => !SHOWN_BY_STATE.has(kind)).map(([kind, number]) => {
    const of = alarms.filter((alarm) => alarm.kind === kind);
    return {
      text: kind === COMMAND_FAILED ? t("overview.commands_failed", { n: number }) : t("overview.alarms_of_kind", { n: number, kind: kindText(kind) }),
      kind: of.some(({ severity }) => severity === "critical") ? "bad" : of.every(({ severity }) => severity === "info") ? "info" : "warn",
      page: number === 1 && of.length === 1 ? alarmPage(of[0]) : list("alarms", { kind }),
    };
  });
}

function alarmPage({ kind, esp_id: espId, gpio, sensor_type: type, address }) {
  if (espId && type) return sensorPage({ esp_id: espId, gpio, sensor_type: type, address });
  return kind === COMMAND_FAILED ? ["actuators", espId, gpio] : ["alarms", `kind=${kind}`];
}

export const sensorPage = ({ esp_id: espId, gpio, sensor_type: type, address }) =>
  ["sensors", espId, gpio, type, ...(address ? [address] : [])];

/** One leads to its own page, several to the list. */
function counted(items, textOf, kind, pageOf, list, number = items.length) {
  if (!items.length) return null;
  return { text: textOf(number), kind, page: number === 1 ? pageOf(items[0]) : list };
}

/** {line, band, dots, lowest, highest} of a sensor's hours in a box; paths of SVG, empty where nothing came. */
export function sparkline({ lows, highs, means }, width, height) {
  const places = means.map((_, index) => index).filter((index) => means[index] !== null);
  if (!places.length) return { line: "", band: "", dots: [], lowest: null, highest: null };
  const lowest = Math.min(...places.map((index) => lows[index]));
  const highest = Math.max(...places.map((index) => highs[index]));
  const span = highest - lowest || 1;
  const x = (index) => ((index + 0.5) * width / means.length).toFixed(1);
  const y = (figure) => (height - 2 - ((figure - lowest) / span) * (height - 4)).toFixed(1);
  const runs = [];
  for (const index of places) {
    if (runs.length && runs.at(-1).at(-1) === index - 1) runs.at(-1).push(index);
    else runs.push([index]);
  }
  const through = (points) => points.map(([index, figure]) => `${x(index)} ${y(figure)}`).join("L");
  const long = runs.filter((run) => run.length > 1);
  return {
    line: long.map((run) => `M${through(run.map((index) => [index, means[index]]))}`).join(""),
    band: long.map((run) => `M${through([...run.map((index) => [index, highs[index]]),
      ...[...run].reverse().map((index) => [index, lows[index]])])}Z`).join(""),
    dots: runs.filter((run) => run.length === 1).map(([index]) => [x(index), y(means[index])]),
    lowest,
    highest,
  };
}
