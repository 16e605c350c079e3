/** A program for a device, filled in: for five systems, to be copied. */

import { SNIPPETS, TYPES, snippet } from "../core/snippets.js";
import { Field, NumberField, SelectField } from "../ui/form.js";
import { html, useState } from "../ui/html.js";
import { QrCode } from "../ui/qr.js";
import { CopyButton } from "../ui/copy.js";
import { t } from "../core/texts.js";

const BROKER_KEY = "kaiser.broker";

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
  const text = snippet(system, { espId: device.esp_id, kaiserId: device.kaiser_id, sensorType: settings.type, ...settings });
  return html`
    <div class="field-grid">
      <${Field} label=${t("connect_program.broker_address")} hint=${t("connect_program.as_the_device_reaches_it")}><input ...${typed("broker")} maxlength="253" /><//>
      <${NumberField} label=${t("connect_program.port")} min="1" max="65535" step="1" ...${figure("port")} />
      <${Field} label=${t("connect_program.user_at_the_broker")} hint=${t("connect_program.empty_where_it_asks_for", { device: device.esp_id })}><input ...${typed("user")} maxlength="64" /><//>
      <${Field} label=${t("connect_program.password_at_the_broker")} hint=${t("connect_program.made_by_the_administrator_of")}>
        <input autocomplete="off" ...${typed("password")} maxlength="100" /><//>
      <${SelectField} label=${t("common.sensor")} options=${TYPES} value=${settings.type} onChange=${({ target }) => change("type", target.value)} />
      <${NumberField} label=${t("common.gpio")} min="0" max="48" step="1" ...${figure("gpio")} />
      <${SelectField} label=${t("connect_program.program_for")} options=${SNIPPETS} value=${system} onChange=${({ target }) => setSystem(target.value)} />
    </div>
    <pre tabindex="0" class="snippet" aria-label=${t("connect_program.the_program")}>${text}</pre>
    <div class="buttons"><${CopyButton} text=${text} /></div>
    <details class="qr">
      <summary>${t("connect_program.on_the_phone")}</summary>
      <${QrCode} text=${location.href} label=${t("connect_program.the_address_of_this_page")} />
    </details>`;
}
