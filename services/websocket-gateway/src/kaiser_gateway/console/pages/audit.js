/** Who changed what, when, from where; before and after. */

import { actionOf, codeIn, differences, inShort, queryOf, textOf, TIMES } from "../core/audit.js";
import { orNone } from "../core/format.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { download } from "../ui/download.js";
import { Form, SelectField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, usePages } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Rejection } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

const PATH = "/api/v1/audit";
const OUTCOMES = { done: "good", refused: "warn", failed: "bad", begun: "idle" };
const SERVICES = ["actuator", "alarm", "factory", "health", "ingest", "logic", "recorder", "sensor", "simulator", "websocket-gateway"];

export function Audit() {
  const { api } = useApp();
  const [wanted, setWanted] = useState(() => queryOf({}, Date.now()));
  const [chosen, setChosen] = useState(null);
  const loaded = usePages((cursor) => api.get(PATH, { ...wanted, cursor }), [wanted]);
  const [save, saveState] = useAction(async () => {
    const limit = Math.max(loaded.data?.items.length ?? 0, 100);
    const file = await api.blob(PATH, { query: { ...wanted, format: "csv", limit: Math.min(limit, 1000) } });
    download(file, `audit-${new Date().toISOString().slice(0, 10)}.csv`);
  });
  const entries = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.audit")}>
      <${Button} disabled=${!entries.length} isBusy=${saveState.isBusy} onClick=${save}>CSV<//>
      <button type="button" onClick=${loaded.reload}>${t("common.look_again")}</button>
    <//>
    <${Form} onSubmit=${(fields) => setWanted(queryOf(fields, Date.now()))} submit=${t("common.show_3")}
      state=${{ problem: saveState.problem, isBusy: loaded.isLoading }}>
      <div class="filter-fields">
        <${TextField} label=${t("audit.who")} name="actor" maxlength="100" problem=${loaded.problem} />
        <${TextField} label=${t("audit.target")} name="target" maxlength="300" problem=${loaded.problem} />
        <${TextField} label=${t("common.action")} name="action" maxlength="100" placeholder="set_limits" problem=${loaded.problem} />
        <${SelectField} label=${t("common.service")} name="service" options=${[["", "all"], ...SERVICES]} value="" problem=${loaded.problem} />
        <${SelectField} label=${t("common.outcome")} name="outcome" options=${[["", "all"], ...Object.keys(OUTCOMES)]} value="" problem=${loaded.problem} />
        <${SelectField} label=${t("audit.time")} name="time" options=${TIMES} value="day" />
      </div>
    <//>
    <${ListState} loaded=${loaded} count=${entries.length} empty=${t("audit.nobody_changed_anything_of_this")} />
    <${Table} label=${t("audit.changes_newest_first")} rows=${entries} keyOf=${(one) => `${one.service === "websocket-gateway"} ${one.id}`}
      columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${chosen && html`<${EntryDialog} entry=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: t("common.when"), cell: (one) => when(one.at) },
  { name: t("audit.who"), cell: (one) => html`<strong>${one.actor}</strong> <span class="quiet">${one.address}</span>` },
  { name: t("common.what"), cell: (one) => html`${actionOf(one.action)} <span class="topic">${one.target}</span>` },
  { name: t("common.outcome"), cell: (one) => html`<${Badge} kind=${OUTCOMES[one.outcome] ?? "idle"}>${word(one.outcome)}<//>` },
  { name: t("audit.change"), cell: (one) => inShort(one) || detailOf(one) },
  { name: t("common.look"), class: "actions", cell: (one) => html`<button type="button" onClick=${() => choose(one)}>${t("common.show")}</button>` },
];

const detailOf = ({ detail }) => (detail ? html`<${Rejection} code=${codeIn(detail)} text=${detail} />` : orNone(null));

function EntryDialog({ entry, onClose }) {
  return html`
    <${Dialog} title=${`${actionOf(entry.action)} ${entry.target}`} onClose=${onClose} wide>
      <${Facts} facts=${[
        [t("audit.who"), `${entry.actor}${entry.role ? `, ${word(entry.role, "role")}` : ""}`],
        [t("audit.from"), orNone(entry.address)],
        [t("common.when"), when(entry.at)],
        [t("common.service"), entry.service],
        [t("common.outcome"), html`<${Badge} kind=${OUTCOMES[entry.outcome] ?? "idle"}>${word(entry.outcome)}<//>`],
        [t("common.detail"), detailOf(entry)],
        [t("audit.request"), orNone(entry.request_id)],
      ]} />
      ${entry.outcome === "begun" && html`
        <p class="quiet">${t("audit.it_is_not_known_how")}</p>`}
      <${Table} label=${t("audit.what_changed")} rows=${differences(entry.before, entry.after)} keyOf=${({ name }) => name} columns=${[
        { name: t("common.field"), cell: ({ name }) => name },
        { name: t("audit.before"), cell: ({ before }) => textOf(before) },
        { name: t("audit.after"), cell: ({ after }) => textOf(after) },
      ]} />
    <//>`;
}
