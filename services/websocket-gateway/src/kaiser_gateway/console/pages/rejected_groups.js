/** Rejected messages by cause: how many there are, what to change, registering a device, replaying all of a group. */

import { Problem, path } from "../core/api.js";
import { ago } from "../core/format.js";
import { canRegister, groupsOf, replayed } from "../core/rejections.js";
import { adviceFor } from "../core/advice.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useNow } from "../ui/hooks.js";
import { DeviceName } from "../ui/names.js";
import { ProblemNotice } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { letIn } from "./fix_dialog.js";
import { t, tx } from "../core/texts.js";

const UNKNOWN_DEVICE = 5001;
const KNOWN_WITHIN = 25;
const ASK_AGAIN_MS = 200;

/** `onShow({code, esp_id})` narrows the list below; `onDone` after something was registered or replayed. */
export function RejectedGroups({ messages, onShow, onDone }) {
  const now = useNow();
  return html`<${Table} label=${t("rejected_groups.causes_the_most_frequent_first")} rows=${groupsOf(messages)} keyOf=${({ key }) => key}
    columns=${columns(now, onShow, onDone)} />`;
}

const columns = (now, onShow, onDone) => [
  {
    name: t("rejected_groups.cause"),
    cell: ({ code, newest }) => html`
      <strong>${code}</strong> ${newest.message}<span class="quiet block">${adviceFor(code)}</span>`,
  },
  { name: t("rejected_groups.from"), cell: ({ espId, sender }) => (espId ? html`<${DeviceName} espId=${espId} />` : html`<span class="topic">${sender}</span>`) },
  { name: t("common.messages"), class: "figure", cell: ({ count }) => count },
  { name: t("rejected_groups.last"), cell: ({ newest }) => ago(newest.received_at, now) },
  { name: t("common.do"), class: "actions", cell: (group) => html`<${GroupActions} ...${{ group, onShow, onDone }} />` },
];

function GroupActions({ group, onShow, onDone }) {
  const { api, toasts } = useApp();
  const [left, setLeft] = useState(null);
  const { code, count, espId, sender, seqs } = group;

  /** One after the other, oldest first, as they came. `isNew`: ingest may learn of the device only in a moment. */
  async function replayAll(isNew) {
    const found = { taken: 0, rejected: 0 };
    for (const [index, seq] of seqs.entries()) {
      setLeft(seqs.length - index);
      const answer = await replayOne(api, seq, isNew && index === 0 ? KNOWN_WITHIN : 1);
      found.taken += answer.published;
      found.rejected += answer.rejected;
    }
    setLeft(null);
    toasts.say(replayed(found), found.taken ? "good" : "warn");
    onDone();
  }

  const [replay, replaying] = useAction(() => replayAll(false));
  const [register, registering] = useAction(async () => {
    await letIn(api, espId);
    toasts.say(t("common.is_registered", { device: espId }));
    await replayAll(true);
  });
  const isBusy = replaying.isBusy || registering.isBusy;
  return html`
    <button type="button" onClick=${() => onShow({ code, esp_id: espId })}>${t("common.show_3")}</button>
    ${canRegister(group) && html`
      <button type="button" disabled=${isBusy} onClick=${() => register()}>${tx("rejected_groups.register_and_replay", { device: espId })}</button>`}
    <button type="button" disabled=${isBusy} aria-label=${t("rejected_groups.replay_all_of", { count, sender })} onClick=${() => replay()}>
      ${left === null ? t("rejected_groups.replay_all", { count }) : t("rejected_groups.left", { left })}</button>
    <${ProblemNotice} problem=${replaying.problem ?? registering.problem} />`;
}

/** {published, rejected}; a message that is rejected again counts as one. `tries`: so often while its device is unknown. */
async function replayOne(api, seq, tries) {
  try {
    return await api.post(path`/api/v1/rejected/${seq}/replay`);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 422) throw error;
    if (error.code !== UNKNOWN_DEVICE || tries <= 1) return { published: 0, rejected: 1 };
    await new Promise((done) => setTimeout(done, ASK_AGAIN_MS));
    return replayOne(api, seq, tries - 1);
  }
}
