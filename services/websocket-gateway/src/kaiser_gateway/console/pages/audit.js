/** Who changed what, when, from where; before and after. */

import { actionOf, differences, inShort, queryOf, textOf, TIMES } from "../core/audit.js";
import { orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Form, SelectField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { when } from "../ui/time.js";

const PATH = "/api/v1/audit";
const OUTCOMES = { done: "good", refused: "warn", failed: "bad", begun: "idle" };
const SERVICES = ["actuator", "alarm", "factory", "health", "ingest", "logic", "recorder", "sensor", "simulator", "websocket-gateway"];

export function Audit() {
  const { api } = useApp();
  const [wanted, setWanted] = useState(() => queryOf({}, Date.now()));
  const [chosen, setChosen] = useState(null);
  const loaded = useLoaded(() => api.get(PATH, wanted), [wanted]);
  const [more, moreState] = useAction(async () => {
    const next = await api.get(PATH, { ...wanted, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  const [save, saveState] = useAction(async () => {
    const limit = Math.max(loaded.data?.items.length ?? 0, 100);
    download(await api.blob(PATH, { query: { ...wanted, format: "csv", limit: Math.min(limit, 1000) } }));
  });
  const entries = loaded.data?.items ?? [];
  return html`
    <${Head} title="Audit">
      <button type="button" disabled=${!entries.length || saveState.isBusy} onClick=${save}>CSV</button>
      <button type="button" onClick=${loaded.reload}>Look again</button>
    <//>
    <${Form} onSubmit=${(fields) => setWanted(queryOf(fields, Date.now()))} submit="Show"
      state=${{ problem: saveState.problem, isBusy: loaded.isLoading }}>
      <div class="filter-fields">
        <${TextField} label="Who" name="actor" maxlength="100" problem=${loaded.problem} />
        <${TextField} label="Target" name="target" maxlength="300" problem=${loaded.problem} />
        <${TextField} label="Action" name="action" maxlength="100" placeholder="set_limits" problem=${loaded.problem} />
        <${SelectField} label="Service" name="service" options=${[["", "all"], ...SERVICES]} value="" problem=${loaded.problem} />
        <${SelectField} label="Outcome" name="outcome" options=${[["", "all"], ...Object.keys(OUTCOMES)]} value="" problem=${loaded.problem} />
        <${SelectField} label="Time" name="time" options=${TIMES} value="day" />
      </div>
    <//>
    <${ListState} loaded=${loaded} count=${entries.length} empty="Nobody changed anything of this in that time." />
    <${Table} label="Changes, newest first" rows=${entries} keyOf=${(one) => `${one.service === "websocket-gateway"} ${one.id}`}
      columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    ${chosen && html`<${EntryDialog} entry=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: "When", cell: (one) => when(one.at) },
  { name: "Who", cell: (one) => html`<strong>${one.actor}</strong> <span class="quiet">${one.address}</span>` },
  { name: "What", cell: (one) => html`${actionOf(one.action)} <span class="topic">${one.target}</span>` },
  { name: "Outcome", cell: (one) => html`<${Badge} kind=${OUTCOMES[one.outcome] ?? "idle"}>${one.outcome}<//>` },
  { name: "Change", cell: (one) => orNone(inShort(one) || one.detail) },
  { name: "Look", class: "actions", cell: (one) => html`<button type="button" onClick=${() => choose(one)}>Show…</button>` },
];

function EntryDialog({ entry, onClose }) {
  return html`
    <${Dialog} title=${`${actionOf(entry.action)} ${entry.target}`} onClose=${onClose} wide>
      <${Facts} facts=${[
        ["Who", `${entry.actor}${entry.role ? `, ${entry.role}` : ""}`],
        ["From", orNone(entry.address)],
        ["When", when(entry.at)],
        ["Service", entry.service],
        ["Outcome", html`<${Badge} kind=${OUTCOMES[entry.outcome] ?? "idle"}>${entry.outcome}<//>`],
        ["Detail", orNone(entry.detail)],
        ["Request", orNone(entry.request_id)],
      ]} />
      ${entry.outcome === "begun" && html`
        <p class="quiet">It is not known how it ended: the service was killed, or is still at it.</p>`}
      <${Table} label="What changed" rows=${differences(entry.before, entry.after)} keyOf=${({ name }) => name} columns=${[
        { name: "Field", cell: ({ name }) => name },
        { name: "Before", cell: ({ before }) => textOf(before) },
        { name: "After", cell: ({ after }) => textOf(after) },
      ]} />
    <//>`;
}

function download(blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `audit-${new Date().toISOString().slice(0, 10)}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
