/** Connect a device: its id, a program for it, and what came of its first message. */

import { newId } from "../core/snippets.js";
import { Form, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { ConnectProgram } from "./connect_program.js";
import { FirstMessage } from "./connect_first.js";

export function Connect({ parts: [espId] }) {
  return html`
    <${Head} title="Connect a device"><a href=${link("devices")}>All devices</a><//>
    ${espId ? html`<${Steps} espId=${espId} />` : html`<${Panel} title="1. Its id"><${RegisterForm} /><//>`}`;
}

function RegisterForm() {
  const { api, directory } = useApp();
  const { zones } = useDirectory();
  const [proposed] = useState(newId);
  const [register, state] = useAction(async (fields) => {
    const device = await api.post("/api/v1/esp/devices", given(fields));
    directory.reload();
    location.hash = link("connect", device.esp_id);
  });
  const { problem } = state;
  return html`
    <${Form} onSubmit=${register} submit="Register" state=${state}>
      <${TextField} label="Device id" name="esp_id" required maxlength="32" value=${proposed} problem=${problem}
        hint="a new one is proposed; ESP_, then capital letters, digits and _" />
      <${TextField} label="Name" name="name" maxlength="100" placeholder="Greenhouse by the river" problem=${problem} />
      <${TextField} label="Zone" name="zone_id" maxlength="64" list="zones" problem=${problem} />
      <datalist id="zones">${zones.map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>
    <//>`;
}

function Steps({ espId }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(`/api/v1/esp/devices/${encodeURIComponent(espId)}`), [espId]);
  const device = loaded.data;
  return html`
    <${ListState} loaded=${loaded} count=${1} />
    ${device && html`
      <${Panel} title="1. Its id">
        <p><strong>${espId}</strong> ${device.name} is registered.
          ${" "}<a href=${link("devices", espId)}>Its page</a></p>
      <//>
      <${Panel} title="2. Its program"><${ConnectProgram} device=${device} /><//>
      <${Panel} title="3. Its first message"><${FirstMessage} espId=${espId} /><//>`}`;
}
