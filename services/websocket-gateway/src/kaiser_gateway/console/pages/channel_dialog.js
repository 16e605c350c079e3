/** The dialog of a channel. Its URL holds secrets: it is sent once and never comes back. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";

const EXAMPLES = [
  ["E-mail", "mailtos://user:password@mail.example.com?to=ops@example.com"],
  ["ntfy", "ntfys://ntfy.example.com/greenhouse"],
  ["Telegram", "tgram://bot-token/chat-id"],
  ["Slack", "slack://token-a/token-b/token-c/#channel"],
  ["Webhook", "jsons://host.example.com/path"],
];

/** `shown`: the channel to change, null for a new one. */
export function ChannelDialog({ shown, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [save, state] = useAction(async ({ channel_id: id, name, url, enabled }) => {
    const saved = await api.put(path`/api/v1/notifications/channels/${shown?.channel_id ?? id}`, { name, url, enabled });
    toasts.say(`${saved.name} is saved.`);
    onDone();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${shown ? `Channel ${shown.name}` : "New channel"} onClose=${onClose} wide>
      <${Form} onSubmit=${save} submit="Save" state=${state}>
        ${!shown && html`
          <${TextField} label="Id" name="channel_id" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*"
            hint="lower-case letters, digits, - and _; such as on-call" problem=${problem} />`}
        <${TextField} label="Name" name="name" required maxlength="64" value=${shown?.name ?? ""} problem=${problem} />
        <${TextField} label=${shown ? "New URL (empty: unchanged)" : "URL"} name="url" required=${!shown} maxlength="2000"
          spellcheck="false" problem=${problem}
          hint=${shown ? "The stored URL is encrypted and never shown." : "It is stored encrypted and is never shown again."} />
        <details>
          <summary>Examples of URLs</summary>
          <ul>${EXAMPLES.map(([kind, url]) => html`<li key=${kind}>${kind}: <code>${url}</code></li>`)}</ul>
          <p class="quiet">Every kind of Apprise works, except those that act on Kaiser's own machine.</p>
        </details>
        <${CheckField} label="Enabled" name="enabled" checked=${shown?.enabled ?? true} />
      <//>
    <//>`;
}
