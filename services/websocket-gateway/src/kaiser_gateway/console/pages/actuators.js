/** Actuators: the state of each, live, and commands; one actuator has a page of its own. */

import { ago } from "../core/format.js";
import { actuatorWith, bringsBack } from "../core/known.js";
import { asQuery, isList } from "../core/list_filters.js";
import { actuatorName, nameOfZone, whereOf } from "../core/names.js";
import { TypeFilter, ZoneFilter, useFilters } from "../ui/filters.js";
import { Field, SelectField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useDialog, useEvents, useEvery, useNow, usePages, useStore } from "../ui/hooks.js";
import { DeviceLink, useDirectory } from "../ui/names.js";
import { Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { ActuatorPage } from "./actuator.js";
import { StateBadge } from "./actuator_parts.js";
import { SetUpActuatorDialog } from "./actuator_set_up.js";
import { CommandButtons } from "./command.js";
import { t, tx, word } from "../core/texts.js";

const LIMIT = 200;
const LOOK_AGAIN_EVERY_MS = 30_000;

export function Actuators({ parts }) {
  const [espId, gpio] = parts;
  if (isList(parts) || !gpio) return html`<${ActuatorList} parts=${parts} />`;
  return html`<${ActuatorPage} espId=${espId} gpio=${Number(gpio)} />`;
}

const zoneKey = ({ zone_id: zoneId }) => zoneId;

const keyOf = ({ esp_id: espId, gpio }) => `${espId}/${gpio}`;

const TYPE = /^[A-Za-z0-9_.-]{1,40}$/;
const FILTERS = ["state", "zone_id", "actuator_type"];
const SHOWN = ["on", "off", "unknown", "failed", "stopped"];
const STATES = [["", word("all")], ...SHOWN.map((state) => [state, word(state)])];

function ActuatorList({ parts }) {
  const { api, emergencies, session } = useApp();
  const [text, setText] = useState("");
  const [isAdding, add, endAdding] = useDialog();
  const [filters, change] = useFilters("actuators", parts, FILTERS);
  const query = { ...asQuery(filters), limit: LIMIT };
  const loaded = usePages((cursor) => api.get("/api/v1/actuators", { ...query, cursor }), [filters, useStore(emergencies.current)]);
  const directory = useDirectory();
  const now = useNow();
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload); // a device that starts again without going offline says no event

  useEvents((batch) => {
    const changes = batch.filter(({ type }) => type === "actuator_status" || type === "esp_health");
    if (changes.length) loaded.setData((page) => ({ ...page, items: page.items.map((one) => actuatorWith(one, changes)) }));
    if (batch.some(({ type }) => type === "actuator_alert") || bringsBack(loaded.data?.items ?? [], changes)) loaded.reloadSoon();
  });

  const shown = (loaded.data?.items ?? []).filter((one) =>
    `${keyOf(one)} ${one.name ?? ""} ${one.actuator_type} ${whereOf(directory, one.esp_id)}`.toLowerCase().includes(text.toLowerCase()));
  return html`
    <${Head} title=${t("common.actuators")}>
      ${session.may("operator") && html`
        <button type="button" class="primary" onClick=${() => add()}>${t("common.set_up_an_actuator")}</button>`}
    <//>
    <div class="filter-fields">
      <${SelectField} label=${t("common.state")} name="state" options=${STATES} value=${filters.state}
        onChange=${({ target }) => change({ state: target.value })} />
      <${ZoneFilter} value=${filters.zone_id} onChange=${change} />
      <${TypeFilter} name="actuator_type" label=${t("common.type")} value=${filters.actuator_type} onChange=${change}
        maxlength="40" form=${TYPE} known=${[...directory.actuators.values()].map(({ actuator_type: type }) => type)} />
      <${Field} label=${t("common.search_name_zone_device_or")} name="text">
        <input type="search" name="text" onInput=${({ target }) => setText(target.value.trim())} />
      <//>
    </div>
    <${ListState} loaded=${loaded} count=${shown.length} empty=${t("actuators.no_actuator_matches_an_actuator")} />
    <${Table} label=${t("common.actuators")} rows=${shown} keyOf=${keyOf} groupOf=${(one) => nameOfZone(directory, one.zone_id)} groupKeyOf=${zoneKey}
      columns=${columns(now)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${isAdding && html`<${SetUpActuatorDialog} onDone=${loaded.reload} onClose=${endAdding} />`}`;
}

const columns = (now) => [
  {
    name: t("common.actuator"),
    cell: (one) => html`
      <a href=${link("actuators", one.esp_id, one.gpio)}>${actuatorName(one)}</a>
      ${one.name && html`<span class="quiet block">${tx("common.on_gpio_2", { actuator_type: one.actuator_type, gpio: one.gpio })}</span>`}`,
  },
  { name: t("common.device"), cell: (one) => html`<${DeviceLink} espId=${one.esp_id} />` },
  {
    name: t("common.state"),
    cell: (one) => html`
      <${StateBadge} actuator=${one} nowMs=${now} /> ${!one.registered && html`<span class="quiet block">${t("actuators.not_set_up_off_only")}</span>`}
      ${one.last_error && html`<span class="field-problem block">${one.last_error}</span>`}`,
  },
  { name: t("common.reported"), cell: (one) => ago(one.reported_at, now) },
  { name: t("common.command"), cell: (one) => html`<${CommandButtons} actuator=${one} />`, class: "actions" },
];
