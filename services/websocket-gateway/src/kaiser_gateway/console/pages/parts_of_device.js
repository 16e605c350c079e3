/** The sensors and actuators of a device, or of a zone: each with its value now and a link. */

import { ago } from "../core/format.js";
import { knowledgeOf, withOffline } from "../core/known.js";
import { actuatorName, sensorName } from "../core/names.js";
import { sensorKey } from "../core/keys.js";
import { sensorPage, withEvents } from "../core/overview.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { DeviceLink } from "../ui/names.js";
import { ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { StateBadge } from "./actuator_parts.js";
import { CommandButtons } from "./command.js";
import { QualityBadge, valueText } from "./quality.js";
import { t } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 30_000;
const BAD = new Set(["bad", "error"]);

/** Two panels. Of the devices for which `isOf(device)` holds; `withDevice`: a column says which one. */
export function PartsOf({ isOf, withDevice = false }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/overview"), []);
  const [offline, setOffline] = useState(() => new Map());
  const now = useNow();
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  useEvents((batch) => {
    setOffline((old) => withOffline(old, batch));
    loaded.setData((overview) => withEvents(overview, batch));
  });
  const { devices = [], sensors = [], actuators = [] } = loaded.data ?? {};
  const ids = new Set(devices.filter(isOf).map((one) => one.esp_id));
  const mine = (items, isWell) => troubleFirst(items.filter((one) => ids.has(one.esp_id)), isWell);
  const mySensors = mine(sensors, (one) => knowledgeOf(one, offline, now).state === "known" && !BAD.has(one.quality));
  const myActuators = mine(actuators, (one) => one.emergency !== "active" && !one.last_error && one.known !== false);
  const of = (columns) => (withDevice ? [columns[0], OF_DEVICE, ...columns.slice(1)] : columns);
  return html`
    <${Panel} title=${t("common.sensors")} class="wide-panel">
      <${ListState} loaded=${loaded} count=${mySensors.length} empty=${t("common.no_sensor_has_sent_yet")} />
      <${Table} label=${t("common.sensors")} rows=${mySensors} keyOf=${sensorKey} columns=${of(sensorColumns(now, offline))} />
    <//>
    <${Panel} title=${t("common.actuators")} class="wide-panel">
      <${ListState} loaded=${{ ...loaded, problem: null }} count=${myActuators.length} empty=${t("common.no_actuator_is_known")} />
      <${Table} label=${t("common.actuators")} rows=${myActuators} keyOf=${(one) => one.gpio + one.esp_id} columns=${of(actuatorColumns(now))} />
    <//>`;
}

/** What is not well in front; else in its order. */
const troubleFirst = (items, isWell) => [...items.filter((one) => !isWell(one)), ...items.filter(isWell)];

export const DeviceParts = ({ espId }) => html`<${PartsOf} isOf=${(device) => device.esp_id === espId} />`;

const OF_DEVICE = { name: t("common.device"), cell: (one) => html`<${DeviceLink} espId=${one.esp_id} />` };

const sensorColumns = (now, offline) => [
  {
    name: t("common.sensor"),
    cell: (one) => html`
      <a href=${link(...sensorPage(one))}>${sensorName(one)}</a>
      ${one.name && html`<span class="quiet block">${sensorName({ ...one, name: "" })}</span>`}`,
  },
  { name: t("common.value"), cell: (one) => valueText(one, knowledgeOf(one, offline, now)), class: "figure" },
  { name: t("common.quality"), cell: (one) => html`<${QualityBadge} quality=${one.quality} knowledge=${knowledgeOf(one, offline, now)} />` },
  { name: t("common.taken"), cell: (one) => ago(one.ts, now) },
];

const actuatorColumns = (now) => [
  {
    name: t("common.actuator"),
    cell: (one) => html`
      <a href=${link("actuators", one.esp_id, one.gpio)}>${actuatorName(one)}</a>
      ${one.name && html`<span class="quiet block">${actuatorName({ ...one, name: "" })}</span>`}`,
  },
  { name: t("common.state"), cell: (one) => html`<${StateBadge} actuator=${one} nowMs=${now} />` },
  { name: t("common.reported"), cell: (one) => ago(one.reported_at, now) },
  { name: t("common.command"), cell: (one) => html`<${CommandButtons} actuator=${one} />`, class: "actions" },
];
