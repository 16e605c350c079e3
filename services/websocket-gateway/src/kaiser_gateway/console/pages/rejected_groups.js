/** Rejected messages by cause: how many there are, what to change, registering a device, replaying all of a cause. */

import { ago } from "../core/format.js";
import { added, canRegister, causeOf, replayed, senderOf, stepAfter } from "../core/rejections.js";
import { adviceFor } from "../core/advice.js";
import { Button } from "../ui/button.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useNow } from "../ui/hooks.js";
import { DeviceName } from "../ui/names.js";
import { ProblemNotice, Rejection } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { letIn } from "./fix_dialog.js";
import { t, tx } from "../core/texts.js";

/** `onShow({code, esp_id})` narrows the list below; `onDone` after something was registered or replayed. */
export function RejectedGroups({ causes, onShow, onDone }) {
  const now = useNow();
  return html`<${Table} label=${t("rejected_groups.causes_the_most_frequent_first")} rows=${causes} keyOf=${(cause) => JSON.stringify(causeOf(cause))}
    columns=${columns(now, onShow, onDone)} />`;
}

const columns = (now, onShow, onDone) => [
  {
    name: t("rejected_groups.cause"),
    cell: ({ code, field, message }) => html`
      <strong>${code}</strong> <${Rejection} ...${{ code, field, text: message }} /><span class="quiet block">${adviceFor(code)}</span>`,
  },
  {
    name: t("rejected_groups.from"),
    cell: (cause) => (cause.esp_id ? html`<${DeviceName} espId=${cause.esp_id} />` : html`<span class="topic">${senderOf(cause)}</span>`),
  },
  { name: t("common.messages"), class: "figure", cell: ({ count }) => count },
  { name: t("rejected_groups.last"), cell: ({ newest_at: at }) => ago(at, now) },
  { name: t("common.do"), class: "actions", cell: (cause) => html`<${CauseActions} ...${{ cause, onShow, onDone }} />` },
];

function CauseActions({ cause, onShow, onDone }) {
  const { api, toasts } = useApp();
  const [done, setDone] = useState(null);
  const { code, count, esp_id: espId } = cause;

  /** The gateway replays a step at a time; one that fails can be begun again, and stores nothing twice. */
  async function replayAll() {
    let found = { taken: 0, rejected: 0 };
    try {
      for (let step = causeOf(cause); step !== null;) {
        const answer = await api.post("/api/v1/rejected/replay", step);
        found = added(found, answer);
        setDone(answer);
        step = stepAfter(step, answer);
      }
    } finally {
      setDone(null);
    }
    toasts.say(replayed(found), found.taken ? "good" : "warn");
    onDone();
  }

  const [replay, replaying] = useAction(replayAll);
  const [register, registering] = useAction(async () => {
    await letIn(api, espId);
    toasts.say(t("common.is_registered", { device: espId }));
    await replayAll();
  });
  const isBusy = replaying.isBusy || registering.isBusy;
  return html`
    <button type="button" onClick=${() => onShow({ code, esp_id: espId })}>${t("common.show_3")}</button>
    ${canRegister({ code, espId }) && html`
      <${Button} isBusy=${isBusy} onClick=${() => register()}>${tx("rejected_groups.register_and_replay", { device: espId })}<//>`}
    <${Button} isBusy=${isBusy} aria-label=${t("rejected_groups.replay_all_of", { count, sender: senderOf(cause) })} onClick=${() => replay()}>
      ${done === null ? t("rejected_groups.replay_all", { count }) : leftText(done)}<//>
    <${ProblemNotice} problem=${replaying.problem ?? registering.problem} />`;
}

const leftText = ({ left, is_left_exact: isExact }) =>
  isExact ? t("rejected_groups.left", { left }) : t("rejected_groups.at_least_left", { left });
