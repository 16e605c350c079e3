/** Names with links: of devices, sensors and actuators, wherever an id or a gpio would stand. */

import { actuatorText, deviceName, sensorText, nameOfZone } from "../core/names.js";
import { sensorPage } from "../core/overview.js";
import { SelectField } from "./form.js";
import { html, useApp, useEffect } from "./html.js";
import { useEvery, useStore } from "./hooks.js";
import { link } from "./route.js";
import { t } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 10_000;

/** The directory of names (core/names.js), at most `atMostMs` old; empty until it is read. */
export function useDirectory(atMostMs = undefined) {
  const { directory } = useApp();
  useEffect(() => { directory.wanted(atMostMs); }, [directory]);
  return useStore(directory.current);
}

/** The directory, read again at intervals during a choice, because its values are as old as its last read. */
export function useFreshDirectory() {
  const { directory } = useApp();
  useEvery(LOOK_AGAIN_EVERY_MS, () => directory.wanted(LOOK_AGAIN_EVERY_MS));
  return useDirectory(LOOK_AGAIN_EVERY_MS);
}

/** The name of a device, a link to its page; its id below the name, if it has one. */
export function DeviceLink({ espId }) {
  const name = deviceName(useDirectory(), espId);
  return html`
    <a href=${link("devices", espId)} title=${espId}>${name}</a>
    ${name !== espId && html`<span class="quiet block">${espId}</span>`}`;
}

export const DeviceName = ({ espId }) => html`<span title=${espId}>${deviceName(useDirectory(), espId)}</span>`;

export function SensorLink({ sensor }) {
  const directory = useDirectory();
  return html`<a href=${link(...sensorPage(sensor))}>${sensorText(directory, sensor)}</a>`;
}

export function ActuatorLink({ actuator }) {
  const directory = useDirectory();
  return html`<a href=${link("actuators", actuator.esp_id, actuator.gpio)}>${actuatorText(directory, actuator)}</a>`;
}

export const ZoneName = ({ zoneId }) => html`<span title=${zoneId}>${nameOfZone(useDirectory(), zoneId)}</span>`;

export function ZoneNames({ zones }) {
  const directory = useDirectory();
  return zones.map((zone) => nameOfZone(directory, zone)).join(", ");
}

/** A choice of one of the zones, or of none. */
export function ZoneField({ value = null, problem }) {
  const { zones } = useDirectory();
  const isKnown = !value || zones.some((zone) => zone.zone_id === value);
  const options = [["", t("common.no_zone")], ...zones.map((zone) => [zone.zone_id, zone.name]), ...(isKnown ? [] : [[value, value]])];
  return html`<${SelectField} name="zone_id" label=${t("common.zone")} value=${value ?? ""} ...${{ options, problem }} />`;
}
