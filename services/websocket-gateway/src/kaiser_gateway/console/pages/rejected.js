/** Rejected messages: why, what was in them, and a way to take them in after all. */

import { NONE } from "../core/format.js";
import { zoneOfDevice } from "../core/names.js";
import { GroupSwitch, isGrouped, useFilters } from "../ui/filters.js";
import { Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useDialog, useLoaded, usePages } from "../ui/hooks.js";
import { DeviceName, useDirectory } from "../ui/names.js";
import { Head, ListState, Panel, ProblemNotice, Rejection } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { FixDialog } from "./fix_dialog.js";
import { RejectedGroups } from "./rejected_groups.js";
import { when } from "../ui/time.js";
import { t } from "../core/texts.js";

const FILTERS = ["group"];

export function Rejected({ parts }) {
  const { api } = useApp();
  const [filters, change] = useFilters("rejected", parts, FILTERS);
  const directory = useDirectory();
  const [wanted, setWanted] = useState({});
  const [chosen, choose, endChoice] = useDialog();
  const loaded = usePages((cursor) => api.get("/api/v1/rejected", { ...wanted, cursor }), [wanted]);
  const causes = useLoaded(() => api.get("/api/v1/rejected/causes"), []);
  const again = () => {
    loaded.reload();
    causes.reload();
  };
  const messages = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.rejected")}>
      <button type="button" onClick=${again}>${t("common.look_again")}</button>
    <//>
    ${causes.problem && html`<${ProblemNotice} problem=${causes.problem} onRetry=${causes.reload} />`}
    ${causes.data?.items.length > 0 && html`
      <${Panel} title=${titleOf(causes.data)}>
        <${RejectedGroups} causes=${causes.data.items} onShow=${setWanted} onDone=${again} />
        ${causes.data.left_out > 0 && html`<p class="quiet">${t("rejected.more_causes", { n: causes.data.left_out })}</p>`}
      <//>`}
    <${Form} onSubmit=${setWanted} submit=${t("common.show_3")} state=${{ problem: null, isBusy: loaded.isLoading }}>
      <div class="filter-fields">
        <${NumberField} label=${t("rejected.code")} name="code" min="5000" max="5999" step="1" problem=${loaded.problem} />
        <${TextField} label=${t("common.device")} name="esp_id" maxlength="32" problem=${loaded.problem} />
      </div>
    <//>
    <div class="filter-fields"><${GroupSwitch} ...${{ filters }} onChange=${change} /></div>
    <${ListState} loaded=${loaded} count=${messages.length} empty=${t("rejected.nothing_was_rejected_in_the")} />
    <${Table} label=${t("rejected.rejected_messages_newest_first")} rows=${messages} keyOf=${(message) => message.seq} groupOrder="rows"
      groupOf=${isGrouped(filters) ? ({ esp_id: espId }) => zoneOfDevice(directory, espId) : null}
      columns=${columns(choose)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${chosen && html`<${FixDialog} message=${chosen} onDone=${() => {}} onClose=${endChoice} />`}`;
}

const titleOf = ({ is_complete: isComplete, looked_at: n }) =>
  isComplete ? t("rejected.causes_of_all", { n }) : t("rejected.causes_of_the_newest", { n });

const columns = (choose) => [
  { name: t("common.when"), cell: (message) => when(message.received_at) },
  { name: t("common.why"), cell: ({ code, field, message }) => html`<strong>${code}</strong> <${Rejection} ...${{ code, field, text: message }} />` },
  { name: t("common.device"), cell: ({ esp_id: espId }) => (espId ? html`<a href=${link("inspect", espId)}><${DeviceName} espId=${espId} /></a>` : NONE) },
  { name: t("common.topic"), cell: (message) => html`<span class="topic">${message.topic}</span>` },
  {
    name: t("common.look"),
    class: "actions",
    cell: (message) => html`<button type="button" onClick=${() => choose(message)}>${t("common.show")}</button>`,
  },
];
