/** A rejected message: why, and a copy of it to correct, have validated, and take in. */

import { path } from "../core/api.js";
import { orNone, pretty } from "../core/format.js";
import { canRegister } from "../core/rejections.js";
import { adviceFor } from "../core/advice.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Badge, Facts, ProblemNotice, Reason, Rejection } from "../ui/parts.js";
import { when } from "../ui/time.js";
import { t } from "../core/texts.js";

/** `message`: as the API has a rejected one. `onDone`: after it was taken in. */
export function FixDialog({ message, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [draft, setDraft] = useState({ topic: message.topic, payload: message.encoding === "text" ? pretty(message.payload) : "" });
  const [verdict, setVerdict] = useState(null);
  const isChanged = draft.topic !== message.topic || draft.payload !== pretty(message.payload);
  const url = path`/api/v1/rejected/${message.seq}/`;
  const change = (name) => ({ target }) => {
    setDraft((old) => ({ ...old, [name]: target.value }));
  };
  const [check, checking] = useAction(async () => setVerdict({ of: draft, ...(await api.post(`${url}check`, draft)) }));
  const [send, sending] = useAction(async () => {
    const answer = isChanged ? await api.post(`${url}fix`, draft) : await api.post(`${url}replay`);
    const { published, rejected } = answer;
    toasts.say(t("common.replayed_still_rejected_2", { published, rejected }), published ? "good" : "warn");
    onDone();
    onClose();
  });
  const isOfDevice = message.topic.startsWith("kaiser/");
  return html`
    <${Dialog} title=${t("rejected.rejected_with", { code: message.code })} onClose=${onClose} wide>
      <${Facts} facts=${[
        [t("common.why"), html`<${Rejection} code=${message.code} text=${message.message} />`],
        [t("inspect.what_to_do"), adviceFor(message.code)],
        [t("common.field"), orNone(message.field)],
        [t("common.received"), when(message.received_at)],
      ]} />
      <${Form} onSubmit=${send} submit=${isChanged ? t("fix_dialog.replay_the_corrected_message") : t("rejected.replay")} state=${sending}>
        ${isOfDevice ? html`
          <${Field} label=${t("common.topic")} name="topic"><input name="topic" maxlength="1024" spellcheck=${false} value=${draft.topic} onInput=${change("topic")} /><//>
          <${Field} label=${t("common.payload")} name="payload">
            <textarea name="payload" rows="10" maxlength="16384" spellcheck=${false} value=${draft.payload} onInput=${change("payload")}></textarea>
          <//>
          ${message.encoding !== "text" && html`<p class="quiet">${t("fix_dialog.its_bytes_are_no_text")}</p>`}
          <p><${Button} isBusy=${checking.isBusy} onClick=${() => check()}>${t("fix_dialog.check_it")}<//>
            ${" "}<${VerdictText} verdict=${verdict?.of === draft ? verdict : null} /></p>
          <${ProblemNotice} problem=${checking.problem} />` : html`
          <pre tabindex="0" aria-label=${t("common.the_payload")}>${message.encoding === "text" ? pretty(message.payload) : message.payload}</pre>`}
        <p class="quiet">${t("fix_dialog.it_is_validated_as_if")}</p>
      <//>
    <//>`;
}

function VerdictText({ verdict }) {
  if (!verdict) return null;
  const { verdict: word, code, reason, kind } = verdict;
  if (word === "accept") return html`<${Badge} kind="good">${t("fix_dialog.would_be_accepted")}<//> ${kind}`;
  const text = word === "reject" ? t("fix_dialog.would_be_rejected") : t("fix_dialog.would_be_ignored");
  return html`<${Badge} kind=${word === "reject" ? "bad" : "idle"}>${text}<//> ${code} <${Reason} text=${reason} />`;
}

/** Where the cause is that nobody registered or approved the device: a button that does it. */
export function RegisterButton({ code, espId, onDone }) {
  const { api, toasts } = useApp();
  const [register, { problem, isBusy }] = useAction(async () => {
    await letIn(api, espId);
    toasts.say(t("common.is_registered", { device: espId }));
    onDone();
  });
  if (!canRegister({ code, espId })) return null;
  return html`
    <${Button} isBusy=${isBusy} onClick=${() => register()}>${t("fix_dialog.register", { device: espId })}<//>
    <${ProblemNotice} problem=${problem} />`;
}

/** Registers a device, or approves one that waits for it; one that is let in already is left as it is. */
export async function letIn(api, espId) {
  const { items } = await api.get("/api/v1/esp/devices", { text: espId });
  const device = items.find((one) => one.esp_id === espId);
  if (device?.state === "approved") return;
  if (device) await api.post(path`/api/v1/esp/devices/${espId}/approve`);
  else await api.post("/api/v1/esp/devices", { esp_id: espId });
}
