/** The dialog of a channel. Its URL holds secrets: it is sent once and never comes back. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { t } from "../core/texts.js";

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
    toasts.say(t("common.is_saved", { name: saved.name }));
    onDone();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${shown ? t("channel_dialog.channel", { name: shown.name }) : t("channel_dialog.new_channel")} onClose=${onClose} wide>
      <${Form} onSubmit=${save} submit=${t("common.save")} state=${state}>
        ${!shown && html`
          <${TextField} label=${t("common.id")} name="channel_id" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*"
            hint=${t("channel_dialog.lower_case_letters_digits_and")} problem=${problem} />`}
        <${TextField} label=${t("common.name")} name="name" required maxlength="64" value=${shown?.name ?? ""} problem=${problem} />
        <${TextField} label=${shown ? t("channel_dialog.new_url_empty_unchanged") : "URL"} name="url" required=${!shown} maxlength="2000"
          spellcheck="false" problem=${problem}
          hint=${shown ? t("channel_dialog.the_stored_url_is_encrypted") : t("channel_dialog.it_is_stored_encrypted_and")} />
        <details>
          <summary>${t("channel_dialog.examples_of_urls")}</summary>
          <ul>${EXAMPLES.map(([kind, url]) => html`<li key=${kind}>${kind}: <code>${url}</code></li>`)}</ul>
          <p class="quiet">${t("channel_dialog.every_kind_of_apprise_works")}</p>
        </details>
        <${CheckField} label=${t("common.enabled")} name="enabled" checked=${shown?.enabled ?? true} />
      <//>
    <//>`;
}
