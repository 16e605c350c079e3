/** One actuator: its state, commands, stop, settings and history. */

import { path } from "../core/api.js";
import { actuatorState, number, orNone } from "../core/format.js";
import { actuatorWith, bringsBack } from "../core/known.js";
import { actuatorName } from "../core/names.js";
import { noteText } from "../core/sentences.js";
import { html, useApp } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, usePages, useStore } from "../ui/hooks.js";
import { DeviceLink } from "../ui/names.js";
import { Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { StopButton } from "../shell/emergency.js";
import { StateBadge } from "./actuator_parts.js";
import { ActuatorSettings } from "./actuator_settings.js";
import { CommandButtons } from "./command.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 30_000;
const WEEK_MS = 7 * 86_400_000;

export function ActuatorPage({ espId, gpio }) {
  const { api, emergencies, session } = useApp();
  const url = path`/api/v1/actuators/${espId}/${gpio}`;
  const loaded = useLoaded(() => api.get(url), [url, useStore(emergencies.current)]);
  const actuator = loaded.data;
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);

  useEvents((batch) => {
    const mine = batch.filter(({ type, data }) =>
      (type.startsWith("actuator_") || type === "esp_health") && data.esp_id === espId);
    if (mine.length) loaded.setData((old) => actuatorWith(old, mine));
    if (mine.some(({ type }) => type === "actuator_alert") || bringsBack(actuator ? [actuator] : [], mine)) loaded.reloadSoon();
  });

  return html`
    <${Head} title=${actuatorName(actuator ?? { gpio })}><a href=${link("actuators")}>${t("actuator.all_actuators")}</a><//>
    <${ListState} loaded=${loaded} count=${1} />
    ${actuator && html`
      <div class="panels">
        <${Panel} title=${t("common.state")}><${Facts} facts=${facts(actuator)} /><//>
        ${session.may("operator") && html`
          <${Panel} title=${t("common.command")}>
            <${CommandButtons} actuator=${actuator} />
            <p><${StopButton} target=${{ esp_id: espId, gpio }} label=${t("actuator.stop_this_actuator")} /></p>
          <//>
          <${Panel} title=${t("common.settings")} class="wide-panel">
            <${ActuatorSettings} actuator=${actuator} onDone=${loaded.reload} />
          <//>`}
        <${History} url=${url} espId=${espId} gpio=${gpio} />
      </div>`}`;
}

const facts = (actuator) => [
  [t("common.state"), html`<${StateBadge} actuator=${actuator} />`],
  [t("common.device"), html`<${DeviceLink} espId=${actuator.esp_id} />`],
  [t("common.gpio"), actuator.gpio],
  [t("common.type"), actuator.actuator_type],
  [t("common.reported"), when(actuator.reported_at)],
  [t("actuator.on_since"), when(actuator.on_since)],
  [t("actuator.reason_for_its_end"), orNone(noteText(actuator.emergency_reason))],
  [t("common.last_error"), orNone(actuator.last_error)],
];

function History({ url, espId, gpio }) {
  const { api } = useApp();
  const query = { from: Date.now() - WEEK_MS, limit: 50 };
  const loaded = usePages((cursor) => api.get(`${url}/history`, { ...query, cursor }), [url]);
  useEvents((batch) => batch.some(({ type, data }) =>
    type.startsWith("actuator_") && data.esp_id === espId && data.gpio === gpio) && loaded.reloadSoon());
  const items = loaded.data?.items ?? [];
  return html`
    <${Panel} title=${t("actuator.history_last_7_days")} class="wide-panel">
      <${ListState} loaded=${loaded} count=${items.length} empty=${t("actuator.nothing_happened_to_it_in")} />
      <${Table} label=${t("common.history")} rows=${items} columns=${HISTORY} keyOf=${(item) => JSON.stringify(item)} />
      <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    <//>`;
}

const HISTORY = [
  { name: t("common.when"), cell: ({ ts }) => when(ts) },
  { name: t("common.what"), cell: ({ kind }) => word(kind, "entry") },
  { name: t("common.detail"), cell: (item) => detailOf(item) },
  { name: t("common.message"), cell: ({ message }) => orNone(message) },
  { name: t("common.by_3"), cell: ({ actor }) => orNone(actor) },
];

function detailOf({ kind, command, success, alert_type: alertType, ...rest }) {
  if (kind === "status") return actuatorState(rest);
  if (kind === "alert") return orNone(alertType && word(alertType, "alert"));
  if (kind === "response") return `${orNone(command && word(command, "switch"))} ${success ? t("common.done") : t("common.failed")}`;
  if (kind === "command") return [word(command, "switch"), rest.value === null ? "" : number(rest.value)].join(" ").trim();
  return orNone(command && word(command, "switch"));
}
