/** What rules did, or were kept from. */

import { number, orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, usePages } from "../ui/hooks.js";
import { DeviceName } from "../ui/names.js";
import { Badge, Facts, ListState, Reason } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

const PATH = "/api/v1/logic/executions";
const OUTCOMES = { succeeded: "good", failed: "bad", running: "info", suppressed: "idle", interrupted: "warn" };

export const OutcomeBadge = ({ outcome }) => html`<${Badge} kind=${OUTCOMES[outcome] ?? "idle"}>${word(outcome)}<//>`;

/** Of one rule, or of all. */
export function Executions({ ruleId = null }) {
  const { api } = useApp();
  const [chosen, setChosen] = useState(null);
  const query = { rule_id: ruleId, limit: 50 };
  const loaded = usePages((cursor) => api.get(PATH, { ...query, cursor }), [ruleId]);
  useEvents((batch) => batch.some(({ type }) => type === "logic_execution") && loaded.reloadSoon());
  const items = loaded.data?.items ?? [];
  return html`
    <${ListState} loaded=${loaded} count=${items.length} empty=${t("executions.nothing_yet")} />
    <${Table} label=${t("executions.executions_newest_first")} rows=${items} keyOf=${(one) => one.execution_id} columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${chosen && html`<${ExecutionDialog} execution=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: t("common.when"), cell: (one) => when(one.started_at) },
  { name: t("common.rule"), cell: (one) => one.rule_name },
  { name: t("common.outcome"), cell: (one) => html`<${OutcomeBadge} outcome=${one.outcome} />` },
  { name: t("common.why"), cell: (one) => (one.reason ? html`<${Reason} text=${one.reason} />` : orNone(null)) },
  { name: t("common.took"), cell: (one) => (one.duration_ms === null ? "–" : t("executions.ms", { duration_ms: number(one.duration_ms) })), class: "figure" },
  { name: t("common.look"), class: "actions", cell: (one) => html`<button type="button" onClick=${() => choose(one)}>${t("common.show")}</button>` },
];

function ExecutionDialog({ execution, onClose }) {
  return html`
    <${Dialog} title=${execution.rule_name} onClose=${onClose} wide>
      <${Facts} facts=${[
        [t("common.outcome"), html`<${OutcomeBadge} outcome=${execution.outcome} />`],
        [t("common.why"), execution.reason && html`<${Reason} text=${execution.reason} />`],
        [t("common.started"), when(execution.started_at)],
        [t("common.ended"), when(execution.ended_at)],
      ]} />
      <${Conditions} conditions=${execution.decisions} />
      <h3>${t("common.actions")}</h3>
      <ul class="reports">
        ${execution.actions.map((action) => html`
          <li key=${action.path}><strong>${word(action.type, "rule_part")}</strong> ${word(action.state)} ${action.esp_id && html`<${DeviceName} espId=${action.esp_id} />`} ${action.command ? word(action.command, "switch") : ""}
            ${" "}<${Reason} text=${action.detail} /></li>`)}
      </ul>
      <h3>${t("executions.trigger")}</h3>
      <pre tabindex="0" aria-label=${t("executions.the_trigger")}>${JSON.stringify(execution.trigger, null, 2)}</pre>
    <//>`;
}

const RESULTS = new Map([[true, word("true")], [false, word("false")], [null, t("common.not_known")]]);

/** How each condition stood. */
export const Conditions = ({ conditions }) => html`
  <h3>${t("executions.conditions")}</h3>
  <ul class="reports">
    ${conditions.map(({ path, type, result, detail }) => html`
      <li key=${path}><strong>${RESULTS.get(result)}</strong> ${word(type, "rule_part")} <${Reason} text=${detail} /></li>`)}
  </ul>`;
