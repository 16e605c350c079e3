/** One message in full: read or raw, what changed since the one before, its picture, and what can be done with it. */

import { path } from "../core/api.js";
import { mosquittoPub, verdictOf } from "../core/message_list.js";
import { bitmapOf } from "../core/pictures.js";
import { html, useApp, useEffect, useRef, useState } from "../ui/html.js";
import { useLoaded } from "../ui/hooks.js";
import { Facts, ProblemNotice } from "../ui/parts.js";
import { when } from "../ui/time.js";
import { t, tx } from "../core/texts.js";

const VIEWS = [["pretty", t("message_detail.read")], ["raw", t("common.raw")], ["diff", t("message_detail.changes")]];

export function MessageDetail({ item, onEdit, onClose }) {
  const { api, toasts } = useApp();
  const [view, setView] = useState("pretty");
  const loaded = useLoaded(() => api.get(path`/api/v1/messages/${item.seq}`), [item.seq]);
  const message = loaded.data;

  async function copy() {
    try {
      await navigator.clipboard.writeText(mosquittoPub(message));
      toasts.say(t("message_detail.copied_put_the_broker_s"));
    } catch {
      setView("command"); // no clipboard over plain HTTP: to be copied by hand
    }
  }

  return html`
    <section class="log-detail panel" aria-label=${t("message_detail.the_chosen_message")}>
      <div class="dialog-head">
        <h2 class="topic">${item.topic}</h2>
        <button type="button" class="plain" aria-label=${t("common.close")} onClick=${onClose}>✕</button>
      </div>
      <${Facts} facts=${[
        [t("common.received"), when(item.received_at)],
        [t("message_detail.verdict"), verdictOf(item)],
        [t("common.size"), t("message_detail.bytes", { n: item.size })],
        ["QoS", `${item.qos}${item.retained ? t("message_detail.retained") : ""}`],
        [t("common.sequence"), item.seq],
        [t("message_detail.sent_by"), item.own ? "Kaiser" : t("message_detail.not_kaiser")],
      ]} />
      <div class="buttons">
        ${VIEWS.map(([name, text]) => html`
          <button type="button" key=${name} aria-pressed=${String(view === name)} onClick=${() => setView(name)}>${text}</button>`)}
        <button type="button" disabled=${!message} onClick=${copy}>${t("message_detail.copy_as_mosquitto_pub")}</button>
        ${onEdit && html`
          <button type="button" disabled=${!message} onClick=${() => onEdit(draftOf(message))}>${t("message_detail.edit_and_send")}</button>`}
      </div>
      <${ProblemNotice} problem=${loaded.problem} onRetry=${loaded.reload} />
      ${message?.mime && html`<${Picture} message=${message} />`}
      ${view === "diff" ? html`<${Diff} seq=${item.seq} />` : message && html`<${Text} message=${message} view=${view} />`}
      ${message?.cut && html`<p class="quiet">${t("message_detail.the_message_is_too_large")}</p>`}
    </section>`;
}

const draftOf = ({ topic, pretty, payload }) => ({ topic, text: pretty ?? payload ?? "" });

function Text({ message, view }) {
  const raw = message.payload ?? message.payload_base64 ?? "";
  const text = view === "command" ? mosquittoPub(message) : view === "pretty" ? message.pretty ?? raw : raw;
  return html`<pre tabindex="0" aria-label=${view === "command" ? t("message_detail.the_command") : t("common.the_payload")}>${text}</pre>`;
}

function Diff({ seq }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/messages/${seq}/diff`), [seq]);
  const diff = loaded.data;
  if (!diff) return html`<${ProblemNotice} problem=${loaded.problem} onRetry=${loaded.reload} />`;
  if (diff.before === null) return html`<p class="empty">${t("message_detail.no_earlier_message_of_this")}</p>`;
  if (!diff.readable) return html`<p class="empty">${t("message_detail.one_of_the_two_is")}</p>`;
  if (diff.changes.length === 0) return html`<p class="empty">${tx("message_detail.the_same_as_message", { before: diff.before })}</p>`;
  return html`
    <ul class="changes" aria-label=${t("message_detail.changes_since_message", { before: diff.before })}>
      ${diff.changes.map(({ path: place, op, old, new: value }) => html`
        <li key=${place} class="change-${op}">
          <span class="topic">${place}</span>
          ${op !== "add" && html` <del>${JSON.stringify(old)}</del>`}
          ${op !== "remove" && html` <ins>${JSON.stringify(value)}</ins>`}
        </li>`)}
    </ul>
    ${!diff.complete && html`<p class="quiet">${t("message_detail.there_are_more_differences_than")}</p>`}`;
}

/** Drawn on a canvas from its bytes: the page may load no picture but its own files. */
function Picture({ message }) {
  const canvas = useRef(null);
  const [isBroken, setBroken] = useState(false);
  useEffect(() => {
    let isHere = true;
    pictureOf(message).then(
      (image) => {
        if (!isHere) return;
        Object.assign(canvas.current, { width: image.width, height: image.height });
        canvas.current.getContext("2d").drawImage(image, 0, 0);
      },
      () => isHere && setBroken(true),
    );
    return () => { isHere = false; };
  }, [message.seq]);
  if (isBroken) return html`<p class="empty">${t("message_detail.its_picture_cannot_be_drawn")}</p>`;
  return html`<canvas class="picture" ref=${canvas} role="img" aria-label=${t("message_detail.the_picture_of_the_message")}></canvas>`;
}

/** Fails if the bytes are not a picture, are a very large one, or are not base64. */
async function pictureOf(message) {
  return bitmapOf(new Blob([bytesOf(message)], { type: message.mime }));
}

function bytesOf({ payload, payload_base64: encoded }) {
  const text = encoded ?? JSON.parse(payload).data.split(",")[1];
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
