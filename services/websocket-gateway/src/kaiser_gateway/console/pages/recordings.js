/** Recordings: what is recorded, imported and replayed. */

import { path } from "../core/api.js";
import { ago, bytes, duration, number } from "../core/format.js";
import { Button } from "../ui/button.js";
import { download } from "../ui/download.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useEvents, useEvery, useLoaded, useNow, usePages } from "../ui/hooks.js";
import { Badge, Head, ListState, Reason } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { DeleteDialog, DetailsDialog, ImportDialog, RecordDialog } from "./recording_dialogs.js";
import { ReplayDialog } from "./replay_dialog.js";
import { ReplayPanel } from "./replay_panel.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const PATH = "/api/v1/recordings";
const ASK_EVERY_MS = 2000;
const EXPORT_TIMEOUT_MS = 3_600_000;
const KINDS = { recording: "warn", importing: "info", ready: "good", failed: "bad" };

export function Recordings() {
  const { api, session } = useApp();
  const [opened, open, close] = useDialog();
  const loaded = usePages((cursor) => api.get(PATH, { limit: 100, cursor }), []);
  const replays = useLoaded(() => api.get("/api/v1/replays", { limit: 1 }), []);
  const now = useNow();
  const items = loaded.data?.items ?? [];
  useEvery(ASK_EVERY_MS, () => items.some(({ state }) => state === "recording" || state === "importing") && loaded.reload());
  useEvents((batch) => batch.some(({ type, data }) => type === "factory_replay" && data.replay_id !== replays.data?.items[0]?.replay_id) && replays.reloadSoon());
  const may = session.may("operator") && !loaded.problem;
  const dialog = { record: RecordDialog, import: ImportDialog, replay: ReplayDialog, details: DetailsDialog, delete: DeleteDialog }[opened?.what];
  const done = () => {
    loaded.reload();
    replays.reload();
  };
  return html`
    <${Head} title=${t("common.recordings")}>
      ${may && html`
        <button type="button" class="primary" onClick=${() => open({ what: "record" })}>${t("recordings.record")}</button>
        <button type="button" onClick=${() => open({ what: "import" })}>${t("recordings.import")}</button>`}
    <//>
    ${replays.data?.items.map((replay) => html`<${ReplayPanel} key=${replay.replay_id} replay=${replay}
      name=${items.find(({ recording_id: id }) => id === replay.recording_id)?.name} />`)}
    <${ListState} loaded=${loaded} count=${items.length} empty=${t("recordings.there_is_no_recording_start")} />
    ${loaded.data && html`<p class="quiet">${tx("recordings.of_are_used", { bytes: bytes(loaded.data.bytes), bytes_limit: bytes(loaded.data.bytes_limit) })}</p>`}
    <${Table} label=${t("recordings.recordings_newest_first")} rows=${items} keyOf=${(one) => one.recording_id}
      columns=${columns({ now, may, open, reload: loaded.reload })} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${dialog && html`<${dialog} recording=${opened.recording} onDone=${done} onClose=${close} />`}`;
}

const columns = ({ now, may, open, reload }) => [
  {
    name: t("common.name"),
    class: "recording-name",
    cell: (one) => html`${one.name}${one.note && html`<span class="quiet block">${one.note}</span>`}`,
  },
  {
    name: t("common.state"),
    cell: (one) => html`
      <${Badge} kind=${KINDS[one.state]}>${word(one.state)}<//>
      <div><${Reason} text=${one.reason} /></div>`,
  },
  { name: t("common.messages"), cell: (one) => html`${number(one.messages)}<${Flaws} recording=${one} />`, class: "figure" },
  { name: t("common.size"), cell: (one) => bytes(one.bytes), class: "figure" },
  { name: t("recordings.span"), cell: (one) => (one.first_at === null || one.first_at === undefined ? "–" : duration((one.last_at - one.first_at) / 1000)), class: "figure" },
  {
    name: t("recordings.made"),
    cell: (one) => html`${when(one.created_at)}<span class="quiet block">${ago(one.created_at, now)}, ${one.created_by}</span>`,
  },
  { name: t("common.do"), class: "actions", cell: (one) => html`<${Actions} recording=${one} may=${may} open=${open} reload=${reload} />` },
];

function Flaws({ recording: { bad_lines: bad, missing, naive } }) {
  const flaws = [bad > 0 && t("recordings.lines_skipped", { n: bad }), missing > 0 && t("recordings.at_most_missing", { missing }), naive && t("recordings.times_without_a_zone")];
  const said = flaws.filter(Boolean).join(", ");
  return said && html`<span class="quiet block">${said}</span>`;
}

function Actions({ recording, may, open, reload }) {
  const { api, session } = useApp();
  const [stop, { problem, isBusy }] = useAction(async () => {
    await api.post(path`/api/v1/recordings/${recording.recording_id}/stop`);
    reload();
  });
  const { name, state } = recording;
  return html`
    ${may && state === "recording" && html`
      <${Button} isBusy=${isBusy} aria-label=${t("recordings.stop_2", { name })} onClick=${() => stop()}>${t("recordings.stop")}<//>`}
    ${may && state === "ready" && html`
      <button type="button" class="primary" aria-label=${t("common.replay", { name })} onClick=${() => open({ what: "replay", recording })}>${t("recordings.replay")}</button>`}
    ${state === "ready" && html`<${Export} recording=${recording} />`}
    <button type="button" aria-label=${t("common.show_4", { name })} onClick=${() => open({ what: "details", recording })}>${t("common.show")}</button>
    ${session.may("admin") && (state === "ready" || state === "failed") && html`
      <button type="button" class="danger-outline" aria-label=${t("recordings.delete_2", { name })} onClick=${() => open({ what: "delete", recording })}>${t("recordings.delete")}</button>`}
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}

function Export({ recording }) {
  const { api } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    const blob = await api.blob(path`/api/v1/recordings/${recording.recording_id}/export`, { timeoutMs: EXPORT_TIMEOUT_MS });
    download(blob, `${recording.name}.jsonl`);
  });
  return html`
    <${Button} isBusy=${isBusy} aria-label=${t("recordings.export", { name: recording.name })} onClick=${() => run()}>${t("common.export")}<//>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
