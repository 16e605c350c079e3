/** A program for a device, filled in: for five systems, to be copied. */

import { SNIPPETS, snippet } from "../core/snippets.js";
import { Field, NumberField, SelectField } from "../ui/form.js";
import { html, useState } from "../ui/html.js";
import { QrCode } from "../ui/qr.js";
import { CopyButton } from "../ui/copy.js";

const BROKER_KEY = "kaiser.broker";
const TYPES = [["ds18b20", "ds18b20", "°C"], ["sht31_temp", "sht31_temp", "°C"], ["sht31_humidity", "sht31_humidity", "%"],
  ["ph", "ph", "pH"], ["soil_moisture", "soil_moisture", "%"]];

export function ConnectProgram({ device }) {
  const [system, setSystem] = useState(SNIPPETS[0][0]);
  const [settings, setSettings] = useState(() => ({
    broker: localStorage.getItem(BROKER_KEY) ?? location.hostname, port: 1883, user: "", password: "", gpio: 4, type: TYPES[0][0],
  }));
  const change = (name, value) => {
    if (name === "broker") localStorage.setItem(BROKER_KEY, value);
    setSettings((old) => ({ ...old, [name]: value }));
  };
  const typed = (name) => ({ value: settings[name], onInput: ({ target }) => change(name, target.value.trim()) });
  const figure = (name) => ({ value: settings[name], onInput: ({ target }) => change(name, Number(target.value)) });
  const [sensorType, , unit] = TYPES.find(([type]) => type === settings.type);
  const text = snippet(system, { espId: device.esp_id, kaiserId: device.kaiser_id, sensorType, unit, ...settings });
  return html`
    <div class="field-grid">
      <${Field} label="Broker address" hint="as the device reaches it, not 127.0.0.1"><input ...${typed("broker")} maxlength="253" /><//>
      <${NumberField} label="Port" min="1" max="65535" step="1" ...${figure("port")} />
      <${Field} label="User at the broker" hint=${`empty where it asks for none, else ${device.esp_id}`}><input ...${typed("user")} maxlength="64" /><//>
      <${Field} label="Password at the broker" hint="made by the administrator of the broker: make device ESP=…; it stays on this page">
        <input autocomplete="off" ...${typed("password")} maxlength="100" /><//>
      <${SelectField} label="Sensor" options=${TYPES} value=${settings.type} onChange=${({ target }) => change("type", target.value)} />
      <${NumberField} label="Gpio" min="0" max="48" step="1" ...${figure("gpio")} />
      <${SelectField} label="Program for" options=${SNIPPETS} value=${system} onChange=${({ target }) => setSystem(target.value)} />
    </div>
    <pre tabindex="0" class="snippet" aria-label="The program">${text}</pre>
    <div class="buttons"><${CopyButton} text=${text} /></div>
    <details class="qr">
      <summary>On the phone</summary>
      <${QrCode} text=${location.href} label="The address of this page as a QR code" />
    </details>`;
}
