/** Connect a device: its id, a program for it, and what came of its first message. */

import { newId } from "../core/snippets.js";
import { Form, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { ZoneField } from "../ui/names.js";
import { Head, ListState, Panel } from "../ui/parts.js";
import { link, useGo } from "../ui/route.js";
import { ConnectProgram } from "./connect_program.js";
import { FirstMessage } from "./connect_first.js";
import { t, tx } from "../core/texts.js";

export function Connect({ parts: [espId] }) {
  return html`
    <${Head} title=${t("common.connect_a_device")}><a href=${link("devices")}>${t("common.all_devices")}</a><//>
    ${espId ? html`<${Steps} espId=${espId} />` : html`<${Panel} title=${t("connect.1_its_id")}><${RegisterForm} /><//>`}`;
}

function RegisterForm() {
  const { api, directory } = useApp();
  const [proposed] = useState(newId);
  const go = useGo();
  const [register, state] = useAction(async (fields) => {
    const device = await api.post("/api/v1/esp/devices", given(fields));
    directory.reload();
    go("connect", device.esp_id);
  });
  const { problem } = state;
  return html`
    <${Form} onSubmit=${register} submit=${t("common.register")} state=${state}>
      <${TextField} label=${t("common.device_id")} name="esp_id" required maxlength="32" value=${proposed} problem=${problem}
        hint=${t("connect.a_new_one_is_proposed")} />
      <${TextField} label=${t("common.name")} name="name" maxlength="100" placeholder=${t("connect.greenhouse_by_the_river")} problem=${problem} />
      <${ZoneField} problem=${problem} />
    <//>`;
}

function Steps({ espId }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(`/api/v1/esp/devices/${encodeURIComponent(espId)}`), [espId]);
  const device = loaded.data;
  return html`
    <${ListState} loaded=${loaded} count=${1} />
    ${device && html`
      <${Panel} title=${t("connect.1_its_id")}>
        <p><strong>${espId}</strong> ${tx("connect.is_registered", { name: device.name, it: " " })}<a href=${link("devices", espId)}>${t("connect.its_page")}</a></p>
      <//>
      <${Panel} title=${t("connect.2_its_program")}><${ConnectProgram} device=${device} /><//>
      <${Panel} title=${t("connect.3_its_first_message")}><${FirstMessage} espId=${espId} /><//>`}`;
}
