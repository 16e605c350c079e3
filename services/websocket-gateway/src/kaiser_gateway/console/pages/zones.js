/** Zones: each with its devices and what is wrong there; one zone has a page of its own. */

import { troublesOf, zonesOf } from "../core/overview.js";
import { html, useApp } from "../ui/html.js";
import { useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { DeviceLink } from "../ui/names.js";
import { Badge, Empty, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { DeviceBadge } from "./device_parts.js";
import { PartsOf } from "./parts_of_device.js";
import { t } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 10_000;

export function Zones({ parts: [zone] }) {
  return zone ? html`<${ZonePage} zone=${zone} />` : html`<${ZoneList} />`;
}

function useOverview() {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/overview"), []);
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  return loaded;
}

function ZoneList() {
  const loaded = useOverview();
  const now = useNow();
  const zones = loaded.data ? zonesOf(loaded.data, now).filter(({ name }) => name) : [];
  return html`
    <${Head} title=${t("common.zones")} />
    <${ListState} loaded=${loaded} count=${zones.length} empty=${t("zones.no_device_is_in_a")} />
    <${Table} label=${t("common.zones")} rows=${zones} keyOf=${({ name }) => name} columns=${columns(loaded.data, now)} />`;
}

const columns = (overview, now) => [
  { name: t("common.zone"), cell: ({ name }) => html`<a href=${link("zones", name)}>${name}</a>` },
  { name: t("zones.now"), cell: ({ name }) => html`<${Troubles} overview=${overview} zone=${name} now=${now} />` },
  { name: t("common.devices"), cell: ({ devices }) => devices.length, class: "figure" },
  { name: t("common.sensors"), cell: ({ sensors }) => sensors.length, class: "figure" },
  { name: t("common.actuators"), cell: ({ actuators }) => actuators.length, class: "figure" },
];

/** What is wrong in a zone. */
function Troubles({ overview, zone, now }) {
  const ids = new Set(overview.devices.filter((one) => one.zone_id === zone).map((one) => one.esp_id));
  const mine = (items) => items.filter((one) => ids.has(one.esp_id));
  const { devices, sensors, actuators, stops, alarms } = overview;
  const found = troublesOf({
    devices: mine(devices), sensors: mine(sensors), actuators: mine(actuators), stops: mine(stops), missing: [],
    alarms: mine(alarms), alarm_kinds: counts(mine(alarms)),
  }, now);
  if (!found.length) return html`<${Badge} kind="good">${t("common.all_is_well")}<//>`;
  return found.map(({ text, kind, page }) => html`
    <a key=${text} href=${link(...page)} class="truth-part"><${Badge} kind=${kind}>${text}<//></a>${" "}`);
}

function counts(alarms) {
  const found = {};
  for (const { kind } of alarms) found[kind] = (found[kind] ?? 0) + 1;
  return found;
}

function ZonePage({ zone }) {
  const loaded = useOverview();
  const now = useNow();
  const devices = (loaded.data?.devices ?? []).filter((one) => one.zone_id === zone);
  return html`
    <${Head} title=${zone}><a href=${link("zones")}>${t("zones.all_zones")}</a><//>
    <${ListState} loaded=${loaded} count=${1} />
    ${loaded.data && devices.length === 0 && html`<${Empty}>${t("zones.no_device_is_in_this")}<//>`}
    ${devices.length > 0 && html`
      <p><${Troubles} overview=${loaded.data} zone=${zone} now=${now} /></p>
      <div class="panels">
        <${Panel} title=${t("common.devices")} class="wide-panel">
          <${Table} label=${t("common.devices")} rows=${devices} keyOf=${(one) => one.esp_id} columns=${DEVICE_COLUMNS} />
        <//>
        <${PartsOf} isOf=${(device) => device.zone_id === zone} withDevice />
      </div>`}`;
}

const DEVICE_COLUMNS = [
  { name: t("common.device"), cell: (one) => html`<${DeviceLink} espId=${one.esp_id} />` },
  { name: t("common.status"), cell: (one) => html`<${DeviceBadge} device=${one} />` },
];
