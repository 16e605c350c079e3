/** What the broker retains: commands first, as they fire again whenever their receiver connects. */

import { Dialog } from "../ui/dialog.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Badge, ListState, ProblemNotice } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { JournalEntry } from "./message_journal.js";
import { when } from "../ui/time.js";

export function RetainedDialog({ onClose }) {
  const { api, session } = useApp();
  const [sent, setSent] = useState(null);
  const loaded = useLoaded(() => api.get("/api/v1/messages/retained"), []);
  const items = loaded.data?.topics ?? [];
  const [remove, state] = useAction(async (topic) => {
    const { commands } = await api.delete(`/api/v1/messages/retained?${new URLSearchParams({ topic })}`);
    setSent(commands[0]);
  });
  return html`
    <${Dialog} title="Retained messages" onClose=${onClose} wide>
      <${ListState} loaded=${loaded} count=${items.length} empty="Kaiser knows of no retained message at the broker." />
      <${ProblemNotice} problem=${state.problem} />
      ${sent && html`<${JournalEntry} key=${sent.command_id} sent=${sent} onEnd=${loaded.reload} />`}
      <${Table} label="Retained messages, commands first" rows=${items} keyOf=${(item) => item.topic} columns=${[
        { name: "Topic", cell: (item) => html`<span class="topic">${item.topic}</span>` },
        { name: "What", cell: (item) => (item.command ? html`<${Badge} kind="bad">a command<//>` : "a value") },
        { name: "Received", cell: (item) => when(item.received_at) },
        { name: "Bytes", class: "figure", cell: (item) => item.size },
        {
          name: "Do",
          class: "actions",
          cell: (item) => session.may("operator") && html`
            <button type="button" class=${item.command ? "danger" : ""} disabled=${state.isBusy}
              aria-label=${`Remove ${item.topic}`} onClick=${() => remove(item.topic)}>Remove</button>`,
        },
      ]} />
    <//>`;
}
