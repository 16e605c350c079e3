/** What rules did, or were kept from. */

import { number, orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvents, useLoaded } from "../ui/hooks.js";
import { DeviceName } from "../ui/names.js";
import { Badge, Facts, ListState } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { when } from "../ui/time.js";

const PATH = "/api/v1/logic/executions";
const OUTCOMES = { succeeded: "good", failed: "bad", running: "info", suppressed: "idle", interrupted: "warn" };

export const OutcomeBadge = ({ outcome }) => html`<${Badge} kind=${OUTCOMES[outcome] ?? "idle"}>${outcome}<//>`;

/** Of one rule, or of all. */
export function Executions({ ruleId = null }) {
  const { api } = useApp();
  const [chosen, setChosen] = useState(null);
  const query = { rule_id: ruleId, limit: 50 };
  const loaded = useLoaded(() => api.get(PATH, query), [ruleId]);
  const [more, moreState] = useAction(async () => {
    const next = await api.get(PATH, { ...query, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  useEvents((batch) => batch.some(({ type }) => type === "logic_execution") && loaded.reloadSoon());
  const items = loaded.data?.items ?? [];
  return html`
    <${ListState} loaded=${loaded} count=${items.length} empty="Nothing yet." />
    <${Table} label="Executions, newest first" rows=${items} keyOf=${(one) => one.execution_id} columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    ${chosen && html`<${ExecutionDialog} execution=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: "When", cell: (one) => when(one.started_at) },
  { name: "Rule", cell: (one) => one.rule_name },
  { name: "Outcome", cell: (one) => html`<${OutcomeBadge} outcome=${one.outcome} />` },
  { name: "Why", cell: (one) => orNone(one.reason) },
  { name: "Took", cell: (one) => (one.duration_ms === null ? "–" : `${number(one.duration_ms)} ms`), class: "figure" },
  { name: "Look", class: "actions", cell: (one) => html`<button type="button" onClick=${() => choose(one)}>Show…</button>` },
];

function ExecutionDialog({ execution, onClose }) {
  return html`
    <${Dialog} title=${execution.rule_name} onClose=${onClose} wide>
      <${Facts} facts=${[
        ["Outcome", html`<${OutcomeBadge} outcome=${execution.outcome} />`],
        ["Why", orNone(execution.reason)],
        ["Started", when(execution.started_at)],
        ["Ended", when(execution.ended_at)],
      ]} />
      <${Conditions} conditions=${execution.decisions} />
      <h3>Actions</h3>
      <ul class="reports">
        ${execution.actions.map((action) => html`
          <li key=${action.path}><strong>${action.type}</strong> ${action.state} ${action.esp_id && html`<${DeviceName} espId=${action.esp_id} />`} ${action.command ?? ""}
            ${" "}<span class="quiet">${action.detail ?? ""}</span></li>`)}
      </ul>
      <h3>Trigger</h3>
      <pre tabindex="0" aria-label="The trigger">${JSON.stringify(execution.trigger, null, 2)}</pre>
    <//>`;
}

const RESULTS = new Map([[true, "true"], [false, "false"], [null, "not known"]]);

/** How each condition stood. */
export const Conditions = ({ conditions }) => html`
  <h3>Conditions</h3>
  <ul class="reports">
    ${conditions.map(({ path, type, result, detail }) => html`
      <li key=${path}><strong>${RESULTS.get(result)}</strong> ${type} <span class="quiet">${detail}</span></li>`)}
  </ul>`;
