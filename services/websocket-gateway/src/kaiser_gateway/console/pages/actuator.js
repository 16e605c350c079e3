/** One actuator: its state, commands, stop, settings and history. */

import { path } from "../core/api.js";
import { actuatorState, number, orNone } from "../core/format.js";
import { actuatorName } from "../core/names.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useEvents, useLoaded, useStore } from "../ui/hooks.js";
import { DeviceLink } from "../ui/names.js";
import { Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { StopButton } from "../shell/emergency.js";
import { StateBadge, withEvents } from "./actuator_parts.js";
import { ActuatorSettings } from "./actuator_settings.js";
import { CommandButtons } from "./command.js";
import { when } from "../ui/time.js";

const WEEK_MS = 7 * 86_400_000;

export function ActuatorPage({ espId, gpio }) {
  const { api, emergencies, session } = useApp();
  const url = path`/api/v1/actuators/${espId}/${gpio}`;
  const loaded = useLoaded(() => api.get(url), [url, useStore(emergencies.current)]);
  const actuator = loaded.data;

  useEvents((batch) => {
    const mine = batch.filter(({ type, data }) =>
      (type.startsWith("actuator_") || type === "esp_health") && data.esp_id === espId);
    if (mine.length) loaded.setData((old) => withEvents(old, mine));
    if (mine.some(({ type }) => type === "actuator_alert")) loaded.reloadSoon();
  });

  return html`
    <${Head} title=${actuatorName(actuator ?? { gpio })}><a href=${link("actuators")}>All actuators</a><//>
    <${ListState} loaded=${loaded} count=${1} />
    ${actuator && html`
      <div class="panels">
        <${Panel} title="State"><${Facts} facts=${facts(actuator)} /><//>
        ${session.may("operator") && html`
          <${Panel} title="Command">
            <${CommandButtons} actuator=${actuator} />
            <p><${StopButton} target=${{ esp_id: espId, gpio }} label="Stop this actuator…" /></p>
          <//>
          <${Panel} title="Settings" class="wide-panel">
            <${ActuatorSettings} actuator=${actuator} onDone=${loaded.reload} />
          <//>`}
        <${History} url=${url} espId=${espId} gpio=${gpio} />
      </div>`}`;
}

const facts = (actuator) => [
  ["State", html`<${StateBadge} actuator=${actuator} />`],
  ["Device", html`<${DeviceLink} espId=${actuator.esp_id} />`],
  ["Gpio", actuator.gpio],
  ["Type", actuator.actuator_type],
  ["Reported", when(actuator.reported_at)],
  ["On since", when(actuator.on_since)],
  ["Reason for its end", orNone(actuator.emergency_reason)],
  ["Last error", orNone(actuator.last_error)],
];

function History({ url, espId, gpio }) {
  const { api } = useApp();
  const query = { from: Date.now() - WEEK_MS, limit: 50 };
  const loaded = useLoaded(() => api.get(`${url}/history`, query), [url]);
  const [more, moreState] = useAction(async () => {
    const next = await api.get(`${url}/history`, { ...query, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  useEvents((batch) => batch.some(({ type, data }) =>
    type.startsWith("actuator_") && data.esp_id === espId && data.gpio === gpio) && loaded.reloadSoon());
  const items = loaded.data?.items ?? [];
  return html`
    <${Panel} title="History, last 7 days" class="wide-panel">
      <${ListState} loaded=${loaded} count=${items.length} empty="Nothing happened to it in the last 7 days." />
      <${Table} label="History" rows=${items} columns=${HISTORY} keyOf=${(item) => JSON.stringify(item)} />
      <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    <//>`;
}

const HISTORY = [
  { name: "When", cell: ({ ts }) => when(ts) },
  { name: "What", cell: ({ kind }) => kind },
  { name: "Detail", cell: (item) => detailOf(item) },
  { name: "Message", cell: ({ message }) => orNone(message) },
  { name: "By", cell: ({ actor }) => orNone(actor) },
];

function detailOf({ kind, command, success, alert_type: alertType, ...rest }) {
  if (kind === "status") return actuatorState(rest);
  if (kind === "alert") return orNone(alertType);
  if (kind === "response") return `${orNone(command)} ${success ? "done" : "failed"}`;
  if (kind === "command") return [command, rest.value === null ? "" : number(rest.value)].join(" ").trim();
  return orNone(command);
}
