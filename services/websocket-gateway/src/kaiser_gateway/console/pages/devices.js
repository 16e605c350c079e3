/** Devices: the registry, live; one device has a page of its own. */

import { NONE, ago, orNone } from "../core/format.js";
import { asQuery, filterParts, isList } from "../core/list_filters.js";
import { nameOfZone } from "../core/names.js";
import { Dialog } from "../ui/dialog.js";
import { ZoneFilter, useFilters } from "../ui/filters.js";
import { Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useEvents, useNow, usePages } from "../ui/hooks.js";
import { ZoneField, useDirectory } from "../ui/names.js";
import { Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { DevicePage } from "./device.js";
import { Decision, DeviceBadge, withHealth } from "./device_parts.js";
import { t, word } from "../core/texts.js";

const FILTERS = ["state", "zone_id"];
const STATES = [
  ["", word("all")], ["approved", word("approved")], ["offline", word("offline")], ["pending", t("common.pending_approval")],
  ["rejected", word("rejected")],
];

export function Devices({ parts }) {
  return isList(parts) ? html`<${DeviceList} parts=${parts} />` : html`<${DevicePage} espId=${parts[0]} />`;
}

/** An offline device is an approved one that is not online. */
const queryOf = ({ state, zone_id: zoneId }, text) => (state === "offline"
  ? { ...asQuery({ zone_id: zoneId }), text, state: "approved", online: false } : { ...asQuery({ state, zone_id: zoneId }), text });

function DeviceList({ parts }) {
  const { api, session } = useApp();
  const [text, setText] = useState("");
  const [filters, change] = useFilters("devices", parts, FILTERS);
  const [isAdding, add, endAdding] = useDialog();
  const query = queryOf(filters, text);
  const loaded = usePages((cursor) => api.get("/api/v1/esp/devices", { ...query, cursor }), [filters, text]);
  const now = useNow();
  const directory = useDirectory();
  const devices = loaded.data?.items ?? [];

  useEvents((batch) => {
    const health = new Map(batch.filter(({ type }) => type === "esp_health").map(({ data }) => [data.esp_id, data]));
    const knowsAll = [...health.keys()].every((espId) => devices.some((device) => device.esp_id === espId));
    if (health.size) loaded.setData((page) => ({ ...page, items: page.items.map((one) => withHealth(one, health)) }));
    const isNarrowed = text !== "" || filterParts(filters).length > 0;
    if (batch.some(isAboutTheRegistry) || (!knowsAll && !loaded.data?.next_cursor && !isNarrowed)) loaded.reloadSoon();
  });

  return html`
    <${Head} title=${t("common.devices")}>
      ${session.may("operator") && html`
        <a class="button primary" href=${link("connect")}>${t("common.connect_a_device")}</a>
        <button type="button" onClick=${() => add()}>${t("devices.register_a_device")}</button>`}
    <//>
    <div class="filter-fields">
      <${SelectField} label=${t("common.show_3")} name="state" options=${STATES} value=${filters.state}
        onChange=${({ target }) => change({ state: target.value })} />
      <${ZoneFilter} value=${filters.zone_id} onChange=${change} />
      <${Field} label=${t("devices.search_id_or_name")} name="text">
        <input type="search" name="text" maxlength="100"
          onInput=${({ target }) => setText(target.value.trim())} />
      <//>
    </div>
    <${ListState} loaded=${loaded} count=${devices.length} empty=${t("devices.no_device_is_registered_that")} />
    <${Table} label=${t("common.devices")} rows=${devices} keyOf=${(device) => device.esp_id} groupOf=${(device) => nameOfZone(directory, device.zone_id)}
      groupKeyOf=${({ zone_id: zoneId }) => zoneId}
      columns=${columns(now, loaded.reload, directory)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${isAdding && html`<${RegisterDialog} onDone=${loaded.reload} onClose=${endAdding} />`}`;
}

const isAboutTheRegistry = ({ type, data }) =>
  type === "zone_assignment" || (type === "system_event" && data.event.startsWith("device_"));

const columns = (now, reload, directory) => [
  {
    name: t("common.device"),
    cell: (device) => html`
      <a href=${link("devices", device.esp_id)}>${device.name || device.esp_id}</a>
      ${device.name && html`<span class="quiet block">${device.esp_id}</span>`}`,
  },
  { name: t("common.status"), cell: (device) => html`<${DeviceBadge} device=${device} />` },
  { name: t("common.zone"), cell: ({ zone_id: zoneId }) => (zoneId ? html`<a href=${link("zones", zoneId)}>${nameOfZone(directory, zoneId)}</a>` : NONE) },
  { name: t("common.last_seen"), cell: (device) => ago(device.last_seen, now) },
  { name: t("common.signal"), cell: (device) => (device.wifi_rssi === null ? "–" : `${device.wifi_rssi} dBm`) },
  { name: t("common.firmware"), cell: (device) => orNone(device.firmware_version) },
  { name: t("devices.decide"), cell: (device) => html`<${Decision} device=${device} onDone=${reload} />`, class: "actions" },
];

function RegisterDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [register, state] = useAction(async (fields) => {
    const device = await api.post("/api/v1/esp/devices", given(fields));
    toasts.say(t("common.is_registered", { device: device.esp_id }));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("devices.register_a_device")} onClose=${onClose}>
      <${Form} onSubmit=${register} submit=${t("common.register")} state=${state}>
        <${TextField} label=${t("common.device_id")} name="esp_id" required maxlength="32" problem=${problem}
          hint=${t("devices.esp_mock_sim_or_test")} />
        <${TextField} label=${t("common.name")} name="name" maxlength="100" problem=${problem} />
        <${TextField} label=${t("common.hardware")} name="hardware_type" maxlength="40" placeholder="ESP32_WROOM" problem=${problem} />
        <${TextField} label=${t("devices.site_kaiser_id")} name="kaiser_id" maxlength="32" placeholder="god" problem=${problem} />
        <${ZoneField} problem=${problem} />
      <//>
    <//>`;
}
