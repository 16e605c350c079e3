/** What the broker retains: commands first, as they fire again whenever their receiver connects. */

import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Badge, ListState, ProblemNotice } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { JournalEntry } from "./message_journal.js";
import { when } from "../ui/time.js";
import { t } from "../core/texts.js";

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
    <${Dialog} title=${t("message_retained.retained_messages")} onClose=${onClose} wide>
      <${ListState} loaded=${loaded} count=${items.length} empty=${t("message_retained.kaiser_knows_of_no_retained")} />
      <${ProblemNotice} problem=${state.problem} />
      ${sent && html`<${JournalEntry} key=${sent.command_id} sent=${sent} onEnd=${loaded.reload} />`}
      <${Table} label=${t("message_retained.retained_messages_commands_first")} rows=${items} keyOf=${(item) => item.topic} columns=${[
        { name: t("common.topic"), cell: (item) => html`<span class="topic">${item.topic}</span>` },
        { name: t("common.what"), cell: (item) => (item.command ? html`<${Badge} kind="bad">${t("message_retained.a_command")}<//>` : t("message_retained.a_value")) },
        { name: t("common.received"), cell: (item) => when(item.received_at) },
        { name: t("message_retained.bytes"), class: "figure", cell: (item) => item.size },
        {
          name: t("common.do"),
          class: "actions",
          cell: (item) => session.may("operator") && html`
            <${Button} class=${item.command ? "danger" : ""} isBusy=${state.isBusy}
              aria-label=${t("common.remove_3", { topic: item.topic })} onClick=${() => remove(item.topic)}>${t("common.remove")}<//>`,
        },
      ]} />
    <//>`;
}
