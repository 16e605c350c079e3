/** Rejected messages: why, what was in them, and a way to take them in after all. */

import { path } from "../core/api.js";
import { NONE, orNone, pretty } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { DeviceName } from "../ui/names.js";
import { Facts, Head, ListState, Panel } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { RejectedGroups } from "./rejected_groups.js";
import { when } from "../ui/time.js";
import { t } from "../core/texts.js";

const NEWEST = 500;

export function Rejected() {
  const { api } = useApp();
  const [wanted, setWanted] = useState({});
  const [chosen, setChosen] = useState(null);
  const loaded = useLoaded(() => api.get("/api/v1/rejected", wanted), [wanted]);
  const newest = useLoaded(() => api.get("/api/v1/rejected", { limit: NEWEST }), []);
  const again = () => {
    loaded.reload();
    newest.reload();
  };
  const [more, moreState] = useAction(async () => {
    const next = await api.get("/api/v1/rejected", { ...wanted, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  const messages = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.rejected")}>
      <button type="button" onClick=${again}>${t("common.look_again")}</button>
    <//>
    ${newest.data?.items.length > 0 && html`
      <${Panel} title=${t("rejected.causes_of_the_newest", { length: newest.data.items.length })}>
        <${RejectedGroups} messages=${newest.data.items} onShow=${setWanted} onDone=${again} />
      <//>`}
    <${Form} onSubmit=${setWanted} submit=${t("common.show_3")} state=${{ problem: null, isBusy: loaded.isLoading }}>
      <div class="filter-fields">
        <${NumberField} label=${t("rejected.code")} name="code" min="5000" max="5999" step="1" problem=${loaded.problem} />
        <${TextField} label=${t("common.device")} name="esp_id" maxlength="32" problem=${loaded.problem} />
      </div>
    <//>
    <${ListState} loaded=${loaded} count=${messages.length} empty=${t("rejected.nothing_was_rejected_in_the")} />
    <${Table} label=${t("rejected.rejected_messages_newest_first")} rows=${messages} keyOf=${(message) => message.seq}
      columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    ${chosen && html`<${MessageDialog} message=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: t("common.when"), cell: (message) => when(message.received_at) },
  { name: t("common.why"), cell: ({ code, message }) => html`<strong>${code}</strong> ${message}` },
  { name: t("common.device"), cell: ({ esp_id: espId }) => (espId ? html`<${DeviceName} espId=${espId} />` : NONE) },
  { name: t("common.topic"), cell: (message) => html`<span class="topic">${message.topic}</span>` },
  {
    name: t("common.look"),
    class: "actions",
    cell: (message) => html`<button type="button" onClick=${() => choose(message)}>${t("common.show")}</button>`,
  },
];

function MessageDialog({ message, onClose }) {
  const { api, toasts } = useApp();
  const [replay, state] = useAction(async () => {
    const { published, rejected } = await api.post(path`/api/v1/rejected/${message.seq}/replay`);
    toasts.say(t("common.replayed_still_rejected_2", { published, rejected }), published ? "good" : "warn");
    onClose();
  });
  return html`
    <${Dialog} title=${t("rejected.rejected_with", { code: message.code })} onClose=${onClose} wide>
      <${Facts} facts=${[
        [t("common.why"), message.message],
        [t("common.field"), orNone(message.field)],
        [t("common.topic"), html`<span class="topic">${message.topic}</span>`],
        [t("common.received"), when(message.received_at)],
        [t("rejected.payload_as"), message.encoding],
      ]} />
      <pre tabindex="0" aria-label=${t("common.the_payload")}>${message.encoding === "text" ? pretty(message.payload) : message.payload}</pre>
      <${Form} onSubmit=${replay} submit=${t("rejected.replay")} state=${state}>
        <p class="quiet">${t("rejected.replay_validates_the_message_again")}</p>
      <//>
    <//>`;
}
