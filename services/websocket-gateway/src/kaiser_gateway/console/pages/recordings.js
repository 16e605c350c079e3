/** Recordings: what is recorded, imported and replayed. */

import { path } from "../core/api.js";
import { ago, bytes, duration, number } from "../core/format.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { Badge, Head, ListState } from "../ui/parts.js";
import { MoreButton, Table } from "../ui/table.js";
import { DeleteDialog, DetailsDialog, ImportDialog, RecordDialog } from "./recording_dialogs.js";
import { ReplayDialog } from "./replay_dialog.js";
import { ReplayPanel } from "./replay_panel.js";
import { when } from "../ui/time.js";

const PATH = "/api/v1/recordings";
const ASK_EVERY_MS = 2000;
const EXPORT_TIMEOUT_MS = 3_600_000;
const KINDS = { recording: "warn", importing: "info", ready: "good", failed: "bad" };

export function Recordings() {
  const { api, session } = useApp();
  const [open, setOpen] = useState(null);
  const loaded = useLoaded(() => api.get(PATH, { limit: 100 }), []);
  const replays = useLoaded(() => api.get("/api/v1/replays", { limit: 1 }), []);
  const now = useNow();
  const [more, moreState] = useAction(async () => {
    const next = await api.get(PATH, { limit: 100, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  const items = loaded.data?.items ?? [];
  useEvery(ASK_EVERY_MS, () => items.some(({ state }) => state === "recording" || state === "importing") && loaded.reload());
  useEvents((batch) => batch.some(({ type, data }) => type === "factory_replay" && data.replay_id !== replays.data?.items[0]?.replay_id) && replays.reloadSoon());
  const may = session.may("operator") && !loaded.problem;
  const close = () => setOpen(null);
  const dialog = { record: RecordDialog, import: ImportDialog, replay: ReplayDialog, details: DetailsDialog, delete: DeleteDialog }[open?.what];
  const done = () => {
    loaded.reload();
    replays.reload();
  };
  return html`
    <${Head} title="Recordings">
      ${may && html`
        <button type="button" class="primary" onClick=${() => setOpen({ what: "record" })}>Record…</button>
        <button type="button" onClick=${() => setOpen({ what: "import" })}>Import…</button>`}
    <//>
    ${replays.data?.items.map((replay) => html`<${ReplayPanel} key=${replay.replay_id} replay=${replay}
      name=${items.find(({ recording_id: id }) => id === replay.recording_id)?.name} />`)}
    <${ListState} loaded=${loaded} count=${items.length} empty="There is no recording. Start one, or import a file." />
    ${loaded.data && html`<p class="quiet">${bytes(loaded.data.bytes)} of ${bytes(loaded.data.bytes_limit)} are used.</p>`}
    <${Table} label="Recordings, newest first" rows=${items} keyOf=${(one) => one.recording_id}
      columns=${columns({ now, may, open: setOpen, reload: loaded.reload })} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />
    ${dialog && html`<${dialog} recording=${open.recording} onDone=${done} onClose=${close} />`}`;
}

const columns = ({ now, may, open, reload }) => [
  {
    name: "Name",
    cell: (one) => html`${one.name}${one.note && html`<span class="quiet block">${one.note}</span>`}`,
  },
  {
    name: "State",
    cell: (one) => html`
      <${Badge} kind=${KINDS[one.state]}>${one.state}<//>
      ${one.reason && html`<span class="quiet block">${one.reason}</span>`}`,
  },
  { name: "Messages", cell: (one) => html`${number(one.messages)}<${Flaws} recording=${one} />`, class: "figure" },
  { name: "Size", cell: (one) => bytes(one.bytes), class: "figure" },
  { name: "Span", cell: (one) => (one.first_at === null || one.first_at === undefined ? "–" : duration((one.last_at - one.first_at) / 1000)), class: "figure" },
  {
    name: "Made",
    cell: (one) => html`${when(one.created_at)}<span class="quiet block">${ago(one.created_at, now)}, ${one.created_by}</span>`,
  },
  { name: "Do", class: "actions", cell: (one) => html`<${Actions} recording=${one} may=${may} open=${open} reload=${reload} />` },
];

function Flaws({ recording: { bad_lines: bad, missing, naive } }) {
  const flaws = [bad > 0 && `${bad} lines skipped`, missing > 0 && `at most ${missing} missing`, naive && "times without a zone"];
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
      <button type="button" disabled=${isBusy} aria-label=${`Stop ${name}`} onClick=${() => stop()}>Stop</button>`}
    ${may && state === "ready" && html`
      <button type="button" class="primary" aria-label=${`Replay ${name}`} onClick=${() => open({ what: "replay", recording })}>Replay…</button>`}
    ${state === "ready" && html`<${Export} recording=${recording} />`}
    <button type="button" aria-label=${`Show ${name}`} onClick=${() => open({ what: "details", recording })}>Show…</button>
    ${session.may("admin") && (state === "ready" || state === "failed") && html`
      <button type="button" class="danger-outline" aria-label=${`Delete ${name}`} onClick=${() => open({ what: "delete", recording })}>Delete…</button>`}
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}

function Export({ recording }) {
  const { api } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    const blob = await api.blob(path`/api/v1/recordings/${recording.recording_id}/export`, { timeoutMs: EXPORT_TIMEOUT_MS });
    const url = URL.createObjectURL(blob);
    Object.assign(document.createElement("a"), { href: url, download: `${recording.name}.jsonl` }).click();
    URL.revokeObjectURL(url);
  });
  return html`
    <button type="button" disabled=${isBusy} aria-label=${`Export ${recording.name}`} onClick=${() => run()}>Export</button>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
