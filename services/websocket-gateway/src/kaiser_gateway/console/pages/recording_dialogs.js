/** Dialogs of recordings: begin one, import a file, look at one, delete one. */

import { path } from "../core/api.js";
import { bytes, number, orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Facts, ListState } from "../ui/parts.js";
import { when } from "../ui/time.js";

const LEVELS = [
  ["5", "5, everything of the factory"],
  ["1", "1, modules"],
  ["2", "2, and AGVs"],
  ["3", "3, and orders"],
  ["4", "4, and the rest of the central control"],
  ["6", "6, all"],
];
const BEFORE = [["", "now"], ["-1m", "1 minute ago"], ["-10m", "10 minutes ago"], ["-1h", "1 hour ago"], ["-1d", "1 day ago"]];

export function RecordDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [record, state] = useAction(async ({ filters, priority, ...fields }) => {
    const chosen = filters ? { filters: filters.split(/[\s,]+/) } : { priority: Number(priority) };
    const { name } = await api.post("/api/v1/recordings", given({ ...fields, ...chosen }));
    toasts.say(`${name} is being recorded.`);
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title="Record" onClose=${onClose}>
      <${Form} onSubmit=${record} submit="Record" state=${state}>
        <${TextField} label="Name" name="name" required maxlength="100" problem=${problem} />
        <${SelectField} label="From" name="from" options=${BEFORE} problem=${problem}
          hint="Earlier messages are included as far as they are kept: the last 1,000 of each topic." />
        <${SelectField} label="Topics" name="priority" options=${LEVELS} problem=${problem} />
        <${TextField} label="Filters instead (may be left empty)" name="filters" placeholder="module/v1/# ccu/order/+" problem=${problem} />
        <${TextField} label="Note (may be left empty)" name="note" maxlength="1000" problem=${problem} />
      <//>
    <//>`;
}

export function ImportDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [file, setFile] = useState(null);
  const [share, setShare] = useState(null);
  const [send, state] = useAction(async ({ name, note, tz }) => {
    setShare(0);
    try {
      await api.upload("/api/v1/recordings/import", { filename: file.name, name, note, tz }, file, setShare);
    } finally {
      setShare(null);
    }
    toasts.say(`${file.name} has come, and is being read.`);
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title="Import a file" onClose=${onClose}>
      <${Form} onSubmit=${send} submit=${file ? `Import ${bytes(file.size)}` : "Import"} state=${state}>
        <${Field} label="File" problem=${problem} name="file" hint="Lines of JSON (.log, .jsonl), an array (.json), each also as .gz, or SQLite (.db); at most 512 MB.">
          <input type="file" required onChange=${({ currentTarget }) => setFile(currentTarget.files[0] ?? null)} />
        <//>
        <${TextField} label="Name (empty: that of the file)" name="name" maxlength="100" problem=${problem} />
        <${TextField} label="Offset of times without a zone (empty: UTC)" name="tz" placeholder="+01:00"
          pattern="[+\\-][0-2][0-9]:[0-5][0-9]" problem=${problem} />
        <${TextField} label="Note (may be left empty)" name="note" maxlength="1000" problem=${problem} />
        ${share !== null && html`
          <label class="field">
            <span class="field-label">Sent: ${Math.round(share * 100)} %</span>
            <progress max="1" value=${share}></progress>
          </label>`}
      <//>
    <//>`;
}

export function DetailsDialog({ recording, onClose }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/recordings/${recording.recording_id}`), [recording.recording_id]);
  const { recording: one = recording, skipped = [], meta } = loaded.data ?? {};
  return html`
    <${Dialog} title=${one.name} onClose=${onClose} wide>
      <${ListState} loaded=${loaded} count=${1} />
      <${Facts} facts=${[
        ["Id", one.recording_id],
        ["From", one.source === "live" ? `environment ${one.env}` : "a file"],
        ["Topics", one.filters.join(", ") || "all of the file"],
        ["First message", when(one.first_at)],
        ["Last message", when(one.last_at)],
        ["Messages", number(one.messages)],
        ["Size", bytes(one.bytes)],
        ["Missing at most", number(one.missing)],
        ["Note", orNone(one.note)],
        ["Reason", orNone(one.reason)],
      ]} />
      ${meta && html`<h3>Description in the file</h3><pre tabindex="0">${JSON.stringify(JSON.parse(meta), null, 2)}</pre>`}
      ${skipped.length > 0 && html`
        <h3>Lines that were skipped: ${one.bad_lines}</h3>
        <ul class="skipped" tabindex="0">${skipped.map(({ line, reason }) => html`<li key=${line}>line ${line}: ${reason}</li>`)}</ul>`}
    <//>`;
}

export function DeleteDialog({ recording, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(path`/api/v1/recordings/${recording.recording_id}`);
    toasts.say(`${recording.name} is deleted.`);
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title="Delete a recording" onClose=${onClose}>
      <p><strong>${recording.name}</strong> with ${number(recording.messages)} messages is deleted for good.</p>
      <${Form} onSubmit=${remove} submit="Delete it" state=${state} danger />
    <//>`;
}
