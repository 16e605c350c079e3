/** Zones: each with what is wrong there now; one zone has a page of its own. */

import { idOf } from "../core/changes.js";
import { zonesOf } from "../core/overview.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useNow } from "../ui/hooks.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form, TextField, given } from "../ui/form.js";
import { Head, ListState } from "../ui/parts.js";
import { link, useGo } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { t } from "../core/texts.js";
import { ZonePage } from "./zone.js";
import { Troubles, useOverview } from "./zone_parts.js";

const NOTHING = { devices: [], sensors: [], actuators: [] };

export function Zones({ parts: [zone] }) {
  return zone ? html`<${ZonePage} zoneId=${zone} />` : html`<${ZoneList} />`;
}

function ZoneList() {
  const { session } = useApp();
  const loaded = useOverview();
  const [isAdding, add, endAdding] = useDialog();
  const now = useNow();
  const zones = loaded.data ? everyZone(loaded.data, now) : [];
  return html`
    <${Head} title=${t("common.zones")}>
      ${session.may("operator") && html`<button type="button" class="primary" onClick=${() => add()}>${t("zones.new_zone")}</button>`}
    <//>
    <${ListState} loaded=${loaded} count=${zones.length} empty=${t("zones.there_is_no_zone")} />
    <${Table} label=${t("common.zones")} rows=${zones} keyOf=${({ id }) => id} columns=${columns(loaded.data, now)} />
    ${isAdding && html`<${AddDialog} onClose=${endAdding} />`}`;
}

/** Zones with devices, trouble in front, then the empty ones. */
function everyZone(overview, now) {
  const found = zonesOf(overview, now).filter(({ id }) => id);
  const known = new Set(found.map(({ id }) => id));
  const empty = (overview.zones ?? []).filter((zone) => !known.has(zone.zone_id));
  return [...found, ...empty.map((zone) => ({ id: zone.zone_id, name: zone.name, ...NOTHING }))];
}

const columns = (overview, now) => [
  {
    name: t("common.zone"),
    cell: ({ id, name }) => html`
      <a href=${link("zones", id)}>${name}</a>${name !== id && html`<span class="quiet block">${id}</span>`}`,
  },
  { name: t("zones.now"), cell: ({ id }) => html`<${Troubles} overview=${overview} zoneId=${id} now=${now} />` },
  { name: t("common.devices"), cell: ({ devices }) => devices.length, class: "figure" },
  { name: t("common.sensors"), cell: ({ sensors }) => sensors.length, class: "figure" },
  { name: t("common.actuators"), cell: ({ actuators }) => actuators.length, class: "figure" },
];

function AddDialog({ onClose }) {
  const { api, directory, toasts } = useApp();
  const [name, setName] = useState("");
  const go = useGo();
  const [add, state] = useAction(async (fields) => {
    const zone = await api.post("/api/v1/zones", { ...given(fields), zone_id: fields.zone_id ?? idOf(name) });
    toasts.say(t("zones.is_added", { name: zone.name }));
    directory.reload();
    go("zones", zone.zone_id);
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("zones.new_zone")} onClose=${onClose}>
      <${Form} onSubmit=${add} submit=${t("common.add")} state=${state}>
        <${Field} label=${t("common.name")} name="name" problem=${problem}>
          <input name="name" required maxlength="100" autocomplete="off" onInput=${({ target }) => setName(target.value)} />
        <//>
        <${TextField} label=${t("common.description")} name="description" maxlength="500" problem=${problem} />
        <${TextField} label=${t("common.id")} name="zone_id" maxlength="64" pattern="[A-Za-z0-9_\\-]+" placeholder=${idOf(name)} problem=${problem}
          hint=${t("zones.devices_know_it_by_it")} />
      <//>
    <//>`;
}
