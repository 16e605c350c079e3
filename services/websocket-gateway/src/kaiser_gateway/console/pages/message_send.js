/** Edit a message, see what ingest and the checks would say, send it, and follow it to its end. */

import { randomId } from "../core/ids.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Field, SelectField, given } from "../ui/form.js";
import { html, useApp, useRef, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Badge, ProblemNotice, Reason } from "../ui/parts.js";
import { JournalEntry } from "./message_journal.js";
import { isEnglish, t, tx, word } from "../core/texts.js";

const QOS = [["1", t("message_send.1_the_broker_acknowledges_it")], ["0", t("message_send.0_the_broker_acknowledges_nothing")]];

/** `env`, `epoch`: the environment in force; what was previewed in another one has to be looked at again. */
export function SendDialog({ draft, env, epoch, onClose }) {
  const { api, session } = useApp();
  const [message, setMessage] = useState({ topic: draft.topic ?? "", text: draft.text ?? "", qos: 1, free: false });
  const [preview, setPreview] = useState(null);
  const [sent, setSent] = useState(null);
  const key = useRef(randomId());
  const templates = useLoaded(() => api.get("/api/v1/messages/templates"), []);

  const isOfNow = (answer) => answer?.message === message && answer.env === env && answer.epoch === epoch;
  const now = { preview: isOfNow(preview) ? preview : null, sent: sent?.message === message ? sent.command : null };

  /** What is changed has to be looked at again before it may go. */
  function change(fields) {
    setMessage((old) => ({ ...old, ...fields }));
    key.current = randomId();
  }

  function take(name) {
    const found = templates.data?.templates.find((one) => one.name === name);
    if (found) change({ topic: found.topic, text: JSON.stringify(found.payload, null, 2) });
  }

  const [look, looking] = useAction(async () => {
    const { topic, qos, free } = message;
    const payload = { payload_base64: base64Of(message.text) };
    const [verdict, plan] = await Promise.all([
      api.post("/api/v1/messages/validate", { topic, ...payload }),
      api.post("/api/v1/factory/steering/preview", given({ do: "publish", topic, ...payload, qos, free: free || null })),
    ]);
    setPreview({ message, env, epoch, verdict, checks: plan.checks });
  });
  const [send, sending] = useAction(async () => {
    const { topic, text, qos, free } = message;
    const headers = { "Idempotency-Key": key.current };
    const body = { topic, payload_base64: base64Of(text), qos, free };
    const { commands } = await api.post("/api/v1/messages", body, { headers });
    setSent({ message, command: commands[0] });
  });
  const mayGo = now.preview?.checks.every(({ ok }) => ok) && now.preview.verdict.verdict !== "reject" && !now.sent;
  return html`
    <${Dialog} title=${t("message_send.send_a_message_to", { it: env ?? t("message_send.the_factory") })} onClose=${onClose} wide>
      <div class="form">
        <${Field} label=${t("message_send.template")} name="template">
          <select name="template" onChange=${({ target }) => take(target.value)}>
            <option value="">–</option>
            ${(templates.data?.templates ?? []).map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
          </select>
        <//>
        <${Field} label=${t("common.topic")} name="topic" problem=${looking.problem}>
          <input type="text" name="topic" maxlength="1024" spellcheck="false" autocomplete="off" value=${message.topic}
            onInput=${({ target }) => change({ topic: target.value })} />
        <//>
        <${Field} label=${t("common.payload")} name="payload" problem=${looking.problem}>
          <textarea name="payload" rows="12" class="topic" spellcheck="false" value=${message.text}
            onInput=${({ target }) => change({ text: target.value })}></textarea>
        <//>
        <${SelectField} label="QoS" name="qos" options=${QOS} value="1" hint=${t("message_send.either_goes_out_once_and")}
          onChange=${({ target }) => change({ qos: Number(target.value) })} />
        ${session.may("admin") && html`
          <${CheckField} label=${t("message_send.allow_topics_that_the_factory")} name="free"
            onChange=${({ target }) => change({ free: target.checked })} />`}
        <${ProblemNotice} problem=${looking.problem ?? sending.problem ?? templates.problem} />
        ${now.preview && html`<${Preview} preview=${now.preview} />`}
        ${now.sent && html`<${JournalEntry} key=${now.sent.command_id} sent=${now.sent} />`}
        <div class="buttons">
          <${Button} class=${mayGo ? "" : "primary"} disabled=${!message.topic} isBusy=${looking.isBusy}
            onClick=${look}>${t("common.preview")}<//>
          <${Button} class="danger" disabled=${!mayGo} isBusy=${sending.isBusy} onClick=${send}>${t("common.send_3")}<//>
        </div>
        <p class="quiet">${t("message_send.it_goes_out_once_never")}</p>
      </div>
    <//>`;
}

const VERDICTS = { accept: ["good", t("message_send.ingest_reads_it")], reject: ["bad", t("message_send.ingest_would_reject_it")], ignore: ["warn", t("message_send.ingest_would_not_read_it")] };

function Preview({ preview: { verdict, checks } }) {
  const [kind, text] = VERDICTS[verdict.verdict];
  return html`
    <ul class="checks" aria-label=${t("common.checks")}>
      <li>
        <${Badge} kind=${kind}>${text}<//> ${verdict.kind ?? ""}
        ${verdict.code && html` <strong>${verdict.code}</strong>`}
        ${verdict.field && html` ${t("message_send.in")} <span class="topic">${verdict.field}</span>`} <${Reason} text=${verdict.reason} />
        ${verdict.warnings.map((warning) => html` <${Reason} key=${warning} text=${warning} />`)}
      </li>
      ${checks.map(({ ok, text: said, code }) => html`
        <li key=${said}><${Badge} kind=${ok ? "good" : "bad"}>${ok ? t("factory_steering.passed") : word("refused")}<//> ${code && !isEnglish() ? word(code, "problem") : ""} <${Reason} text=${said} />
          ${code && html` <span class="quiet">${tx("common.code", { code })}</span>`}</li>`)}
    </ul>`;
}

/** The bytes of a text in UTF-8: what is edited goes out as it is written, also where it is no JSON. */
function base64Of(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
