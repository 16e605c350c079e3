/** Names of devices, sensors, actuators and zones, in place of ids and gpios; pure. */

import { actuatorState, isStateKnown, lastKnown, lastReported, sensorValue } from "./format.js";
import { sensorKey } from "./keys.js";
import { t, word } from "./texts.js";

export const EMPTY = { devices: new Map(), sensors: new Map(), actuators: new Map(), zones: [], zoneNames: new Map(), isLoaded: false, isComplete: true };

/** What an overview has, by key: {devices, sensors, actuators, zones: [{zone_id, name}] in their order, zoneNames, isLoaded, isComplete}:
 *  isComplete is false where a fleet has more than an overview holds. */
export function toDirectory({ devices, sensors, actuators, zones = [], complete = true }) {
  const all = everyZone(zones, devices);
  return {
    devices: new Map(devices.map((one) => [one.esp_id, one])),
    sensors: new Map(sensors.map((one) => [sensorKey(one), one])),
    actuators: new Map(actuators.map((one) => [actuatorKey(one), one])),
    zones: all,
    zoneNames: new Map(all.map((zone) => [zone.zone_id, zone.name])),
    isLoaded: true,
    isComplete: complete,
  };
}

/** The directory after a batch of events: a sensor without a configured name has the one that its device sends. The same
 *  object where nothing changed. */
export function withSentNames(directory, batch) {
  const sent = new Map();
  for (const { type, data } of batch) {
    if (type !== "sensor_data" || !data.sensor_name) continue;
    const known = directory.sensors.get(sensorKey(data));
    if (known && !known.name) sent.set(sensorKey(data), { ...known, name: data.sensor_name });
  }
  return sent.size ? { ...directory, sensors: new Map([...directory.sensors, ...sent]) } : directory;
}

/** Zones as they are listed, and after them those that only a device names. */
function everyZone(zones, devices) {
  const known = new Set(zones.map((zone) => zone.zone_id));
  const others = [...new Set(devices.map((one) => one.zone_id).filter(Boolean))].filter((id) => !known.has(id)).sort();
  return [...zones, ...others.map((id) => ({ zone_id: id, name: id }))];
}

export const nameOfZone = ({ zoneNames }, zoneId) => zoneNames.get(zoneId) ?? zoneId;

/** The name of the zone that a device is in, "" for none. */
export const zoneOfDevice = (directory, espId) => nameOfZone(directory, directory.devices.get(espId)?.zone_id) ?? "";

export const actuatorKey = ({ esp_id: espId, gpio }) => `${espId}/${gpio}`;

export const deviceName = ({ devices }, espId) => devices.get(espId)?.name || espId;

/** The configured name, else type and gpio. */
export const sensorName = ({ name, sensor_type: type, gpio, address }) =>
  name || t("names.on_gpio", { it: type || t("names.sensor"), gpio, it2: address ? t("names.at", { address }) : "" });

export const actuatorName = ({ name, actuator_type: type, gpio }) => name || t("common.on_gpio", { it: type || t("names.actuator"), gpio });

/** What a device is called where several stand side by side, by id: its name, or its id where another has the same name. */
export function namesByDevice(devices) {
  const times = new Map();
  for (const { name } of devices) times.set(name, (times.get(name) ?? 0) + 1);
  return Object.fromEntries(devices.map(({ esp_id: espId, name }) => [espId, name && times.get(name) === 1 ? name : espId]));
}

/** The name of each device's zone, by the id of the device. */
export function zonesByDevice(overview) {
  const directory = toDirectory(overview);
  return Object.fromEntries(overview.devices.map((one) => [one.esp_id, nameOfZone(directory, one.zone_id)]));
}

/** Where a thing is: "North house, Greenhouse 1". */
export const whereOf = (directory, espId) =>
  [zoneOfDevice(directory, espId), deviceName(directory, espId)].filter(Boolean).join(", ");

/** A sensor of a rule: the known one, also where the rule gives neither type nor address and only one fits. */
export function sensorOf({ sensors }, { esp_id: espId, gpio, sensor_type: type, address }) {
  const exact = type && sensors.get(sensorKey({ esp_id: espId, gpio, sensor_type: type, address: address ?? "" }));
  if (exact) return exact;
  const fit = [...sensors.values()].filter((one) => one.esp_id === espId && one.gpio === gpio
    && (!type || one.sensor_type === type) && (!address || one.address === address));
  return fit.length === 1 ? fit[0] : null;
}

/** What a sentence calls the device and the sensor of an alarm or event: by their configured names, else id and type. */
export const calledIn = (directory, { esp_id: espId, gpio, sensor_type: type, address }) => ({
  device: espId && deviceName(directory, espId),
  sensor: (type && sensorOf(directory, { esp_id: espId, gpio, sensor_type: type, address })?.name) || type,
});

/** A sensor in one text: "East air (north, Greenhouse 1)". */
export const sensorText = (directory, sensor) =>
  `${sensorName(sensorOf(directory, sensor) ?? sensor)} (${whereOf(directory, sensor.esp_id)})`;

export const actuatorText = (directory, actuator) =>
  `${actuatorName(directory.actuators.get(actuatorKey(actuator)) ?? actuator)} (${whereOf(directory, actuator.esp_id)})`;

/** What a picker of sensors offers: [{key, name, where, value, isKnown, sensor}]; values are as the server listed them. */
export function sensorChoices(directory) {
  return [...directory.sensors.values()].map((one) => ({
    key: sensorKey(one),
    name: sensorName(one),
    where: whereOf(directory, one.esp_id),
    ...valueNow((one.state ?? "known") === "known", () => sensorValue(one), () => lastKnown(sensorValue(one), one.known_until)),
    words: `${one.sensor_type} ${one.esp_id}`,
    sensor: { esp_id: one.esp_id, gpio: one.gpio, sensor_type: one.sensor_type, ...(one.address && { address: one.address }) },
  })).sort(byName);
}

const valueNow = (isKnown, now, last) => ({ isKnown, value: isKnown ? now() : last() });

/** What a picker of actuators offers. */
export function actuatorChoices(directory) {
  return [...directory.actuators.values()].map((one) => ({
    key: actuatorKey(one),
    name: actuatorName(one),
    where: whereOf(directory, one.esp_id),
    ...valueNow(isStateKnown(one), () => actuatorState(one), () => lastReported(one)),
    words: `${one.actuator_type} ${one.esp_id}`,
    actuator: { esp_id: one.esp_id, gpio: one.gpio },
  })).sort(byName);
}

/** What a picker of devices offers: those for which `fits(device)` holds. */
export function deviceChoices(directory, fits) {
  return [...directory.devices.values()].filter(fits).map((one) => ({
    key: one.esp_id,
    name: deviceName(directory, one.esp_id),
    where: nameOfZone(directory, one.zone_id) ?? t("common.no_zone"),
    value: word(one.online ? "online" : "offline"),
    words: one.esp_id,
  })).sort(byName);
}

const byName = (one, other) => one.name.localeCompare(other.name) || one.where.localeCompare(other.where);

/** The choices in which each word of a text stands: in the name, the place, the type or the id. */
export function fitting(choices, text) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  return choices.filter(({ name, where, words = "" }) => {
    const said = `${name} ${where} ${words}`.toLowerCase();
    return wanted.every((word) => said.includes(word));
  });
}
