/** One zone: what is wrong there, its devices, sensors and actuators, its settings. */

import { path } from "../core/api.js";
import { changesOf } from "../core/changes.js";
import { deviceChoices } from "../core/names.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { DeviceLink, useDirectory } from "../ui/names.js";
import { Empty, Head, ListState, Panel, ProblemNotice } from "../ui/parts.js";
import { Picker } from "../ui/picker.js";
import { link, useGo } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { t } from "../core/texts.js";
import { DeviceBadge } from "./device_parts.js";
import { PartsOf } from "./parts_of_device.js";
import { Troubles, useOverview } from "./zone_parts.js";

const TROUBLE = ({ state, online }) => (state === "approved" && !online ? 0 : state === "pending" ? 1 : 2);

export function ZonePage({ zoneId }) {
  const { api, session } = useApp();
  const loaded = useOverview();
  const settings = useLoaded(() => api.get(path`/api/v1/zones/${zoneId}`), [zoneId]);
  const now = useNow();
  useEvents((batch) => {
    if (!batch.some(({ type }) => type === "zone_assignment")) return;
    loaded.reloadSoon();
    settings.reloadSoon();
  });
  const zone = settings.data;
  const devices = (loaded.data?.devices ?? []).filter((one) => one.zone_id === zoneId)
    .sort((one, other) => TROUBLE(one) - TROUBLE(other));
  return html`
    <${Head} title=${zone?.name ?? zoneId}><a href=${link("zones")}>${t("zones.all_zones")}</a><//>
    <${ListState} loaded=${settings} count=${1} />
    ${zone?.description && html`<p>${zone.description}</p>`}
    <${ListState} loaded=${loaded} count=${1} />
    ${loaded.data && html`
      ${devices.length > 0 && html`<p><${Troubles} overview=${loaded.data} zoneId=${zoneId} now=${now} /></p>`}
      <div class="panels">
        <${Panel} title=${t("common.devices")} class="wide-panel">
          ${devices.length === 0 && html`<${Empty}>${t("zones.no_device_is_in_this")}<//>`}
          <${Table} label=${t("common.devices")} rows=${devices} keyOf=${(one) => one.esp_id} columns=${columns(session)} />
          ${session.may("operator") && html`<${PutIn} zoneId=${zoneId} />`}
        <//>
        ${devices.length > 0 && html`<${PartsOf} isOf=${(device) => device.zone_id === zoneId} withDevice />`}
        ${zone && session.may("operator") && html`
          <${Settings} key=${zone.version} zone=${zone} isEmpty=${devices.length === 0} onDone=${settings.reload} />`}
      </div>`}`;
}

const columns = (session) => [
  { name: t("common.device"), cell: (one) => html`<${DeviceLink} espId=${one.esp_id} />` },
  { name: t("common.status"), cell: (one) => html`<${DeviceBadge} device=${one} />` },
  ...(session.may("operator") ? [{ name: t("common.do"), class: "actions", cell: (one) => html`<${TakeOut} device=${one} />` }] : []),
];

/** Sends a device its zone, or (null) that it is in none. */
const push = (api, espId, zoneId) => api.post(path`/api/v1/esp/devices/${espId}/zone`, { zone_id: zoneId });

function TakeOut({ device }) {
  const { api, toasts } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    await push(api, device.esp_id, null);
    toasts.say(t("zone.it_leaves_when"), "info");
  });
  return html`
    <${Button} isBusy=${isBusy} aria-label=${t("zone.take_out_of", { name: device.name ?? device.esp_id })} onClick=${() => run()}>${t("zone.take_out")}<//>
    <${ProblemNotice} problem=${problem} />`;
}

function PutIn({ zoneId }) {
  const { api, toasts } = useApp();
  const directory = useDirectory();
  const [isOpen, setOpen] = useState(false);
  const [put, { problem, isBusy }] = useAction(async ({ key }) => {
    await push(api, key, zoneId);
    toasts.say(t("device.the_zone_was_sent_it"), "info");
    setOpen(false);
  });
  if (!isOpen) return html`<p><button type="button" onClick=${() => setOpen(true)}>${t("zone.put_a_device_in")}</button></p>`;
  const choices = deviceChoices(directory, (one) => one.state === "approved" && one.zone_id !== zoneId);
  return html`
    <${Picker} label=${t("zone.device_to_put_in")} choices=${choices} chosen=${null} onChoose=${(choice) => isBusy || put(choice)} empty=${t("zone.every_device_is_in_it")} />
    <${ProblemNotice} problem=${problem} />
    <p><button type="button" onClick=${() => setOpen(false)}>${t("common.cancel")}</button></p>`;
}

function Settings({ zone, isEmpty, onDone }) {
  const { api, directory, toasts } = useApp();
  const [isRemoving, begin, end] = useDialog();
  const go = useGo();
  const url = path`/api/v1/zones/${zone.zone_id}`;
  const { version } = zone;
  const [save, saving] = useAction(async (fields) => {
    await api.patch(url, changesOf(zone, fields), { version });
    toasts.say(t("common.saved"));
    directory.reload();
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url, { version });
    toasts.say(t("common.is_removed", { name: zone.name }));
    directory.reload();
    go("zones");
  });
  const { problem } = saving;
  return html`
    <${Panel} title=${t("common.settings")}>
      <${Form} onSubmit=${save} submit=${t("common.save")} state=${saving}>
        <${TextField} label=${t("common.name")} name="name" required maxlength="100" value=${zone.name} problem=${problem} />
        <${TextField} label=${t("common.description")} name="description" maxlength="500" value=${zone.description ?? ""} problem=${problem} />
        <${NumberField} label=${t("zone.position")} name="position" required min="-1000" max="1000" step="1" value=${zone.position}
          problem=${problem} hint=${t("zone.lower_ones_stand_first")} />
      <//>
      <p class="quiet">${t("zone.devices_know_it_as", { id: zone.zone_id })}</p>
      <button type="button" class="danger-outline" disabled=${!isEmpty} onClick=${() => begin()}>${t("zone.remove_the_zone")}</button>
      ${!isEmpty && html`<p class="quiet">${t("zone.it_can_be_removed_once")}</p>`}
      ${isRemoving && html`
        <${Dialog} title=${t("common.remove_5", { name: zone.name })} onClose=${end}>
          <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${removing} danger>
            <p>${t("zone.what_its_devices_sent_stays")}</p>
          <//>
        <//>`}
    <//>`;
}
