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
    <${Head} title="Rejected">
      <button type="button" onClick=${again}>Look again</button>
    <//>
    ${newest.data?.items.length > 0 && html`
      <${Panel} title=${`Causes of the newest ${newest.data.items.length}`}>
        <${RejectedGroups} messages=${newest.data.items} onShow=${setWanted} onDone=${again} />
      <//>`}
    <${Form} onSubmit=${setWanted} submit="Show" state=${{ problem: null, isBusy: loaded.isLoading }}>
      <div class="filter-fields">
        <${NumberField} label="Code" name="code" min="5000" max="5999" step="1" problem=${loaded.problem} />
        <${TextField} label="Device" name="esp_id" maxlength="32" problem=${loaded.problem} />
      </div>
    <//>
    <${ListState} loaded=${loaded} count=${messages.length} empty="Nothing was rejected in the last seven days." />
    <${Table} label="Rejected messages, newest first" rows=${messages} keyOf=${(message) => message.seq}
      columns=${columns(setChosen)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    ${chosen && html`<${MessageDialog} message=${chosen} onClose=${() => setChosen(null)} />`}`;
}

const columns = (choose) => [
  { name: "When", cell: (message) => when(message.received_at) },
  { name: "Why", cell: ({ code, message }) => html`<strong>${code}</strong> ${message}` },
  { name: "Device", cell: ({ esp_id: espId }) => (espId ? html`<${DeviceName} espId=${espId} />` : NONE) },
  { name: "Topic", cell: (message) => html`<span class="topic">${message.topic}</span>` },
  {
    name: "Look",
    class: "actions",
    cell: (message) => html`<button type="button" onClick=${() => choose(message)}>Show…</button>`,
  },
];

function MessageDialog({ message, onClose }) {
  const { api, toasts } = useApp();
  const [replay, state] = useAction(async () => {
    const { published, rejected } = await api.post(path`/api/v1/rejected/${message.seq}/replay`);
    toasts.say(`Replayed: ${published}; still rejected: ${rejected}.`, published ? "good" : "warn");
    onClose();
  });
  return html`
    <${Dialog} title=${`Rejected with ${message.code}`} onClose=${onClose} wide>
      <${Facts} facts=${[
        ["Why", message.message],
        ["Field", orNone(message.field)],
        ["Topic", html`<span class="topic">${message.topic}</span>`],
        ["Received", when(message.received_at)],
        ["Payload as", message.encoding],
      ]} />
      <pre tabindex="0" aria-label="The payload">${message.encoding === "text" ? pretty(message.payload) : message.payload}</pre>
      <${Form} onSubmit=${replay} submit="Replay" state=${state}>
        <p class="quiet">Replay validates the message again as if it had just arrived, for example after its device was registered.</p>
      <//>
    <//>`;
}
