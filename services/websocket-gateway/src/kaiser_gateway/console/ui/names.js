/** Names with links: of devices, sensors and actuators, wherever an id or a gpio would stand. */

import { actuatorText, deviceName, sensorText } from "../core/names.js";
import { sensorPage } from "../core/overview.js";
import { html, useApp, useEffect } from "./html.js";
import { useStore } from "./hooks.js";
import { link } from "./route.js";

/** The directory of names (core/names.js); empty until it is read. */
export function useDirectory() {
  const { directory } = useApp();
  useEffect(() => { directory.wanted(); }, [directory]);
  return useStore(directory.current);
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
