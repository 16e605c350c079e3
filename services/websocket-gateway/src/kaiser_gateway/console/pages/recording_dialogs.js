/** Dialogs of recordings: begin one, import a file, look at one, delete one. */

import { path } from "../core/api.js";
import { bytes, number, orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Facts, ListState, Reason, ServerText } from "../ui/parts.js";
import { when } from "../ui/time.js";
import { isEnglish, t, tx } from "../core/texts.js";

const LEVELS = [
  ["5", t("recording_dialogs.5_everything_of_the_factory")],
  ["1", t("recording_dialogs.1_modules")],
  ["2", t("recording_dialogs.2_and_agvs")],
  ["3", t("recording_dialogs.3_and_orders")],
  ["4", t("recording_dialogs.4_and_the_rest_of")],
  ["6", t("recording_dialogs.6_all")],
];
const BEFORE = [["", "now"], ["-1m", t("recording_dialogs.1_minute_ago")], ["-10m", t("recording_dialogs.10_minutes_ago")], ["-1h", t("recording_dialogs.1_hour_ago")], ["-1d", t("recording_dialogs.1_day_ago")]];

export function RecordDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [record, state] = useAction(async ({ filters, priority, ...fields }) => {
    const chosen = filters ? { filters: filters.split(/[\s,]+/) } : { priority: Number(priority) };
    const { name } = await api.post("/api/v1/recordings", given({ ...fields, ...chosen }));
    toasts.say(t("recording_dialogs.is_being_recorded", { name }));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("recording_dialogs.record")} onClose=${onClose}>
      <${Form} onSubmit=${record} submit=${t("recording_dialogs.record")} state=${state}>
        <${TextField} label=${t("common.name")} name="name" required maxlength="100" problem=${problem} />
        <${SelectField} label=${t("recording_dialogs.from")} name="from" options=${BEFORE} problem=${problem}
          hint=${t("recording_dialogs.earlier_messages_are_included_as")} />
        <${SelectField} label=${t("common.topics")} name="priority" options=${LEVELS} problem=${problem} />
        <${TextField} label=${t("recording_dialogs.filters_instead_may_be_left")} name="filters" placeholder="module/v1/# ccu/order/+" problem=${problem} />
        <${TextField} label=${t("recording_dialogs.note_may_be_left_empty")} name="note" maxlength="1000" problem=${problem} />
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
    toasts.say(t("recording_dialogs.has_come_and_is_being", { name: file.name }));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("recording_dialogs.import_a_file")} onClose=${onClose}>
      <${Form} onSubmit=${send} submit=${file ? t("recording_dialogs.import_2", { size: bytes(file.size) }) : t("recording_dialogs.import")} state=${state}>
        <${Field} label=${t("recording_dialogs.file")} problem=${problem} name="file" hint=${t("recording_dialogs.lines_of_json_log_jsonl")}>
          <input type="file" required onChange=${({ currentTarget }) => setFile(currentTarget.files[0] ?? null)} />
        <//>
        <${TextField} label=${t("recording_dialogs.name_empty_that_of_the")} name="name" maxlength="100" problem=${problem} />
        <${TextField} label=${t("recording_dialogs.offset_of_times_without_a")} name="tz" placeholder="+01:00"
          pattern="[+\\-][0-2][0-9]:[0-5][0-9]" problem=${problem} />
        <${TextField} label=${t("recording_dialogs.note_may_be_left_empty")} name="note" maxlength="1000" problem=${problem} />
        ${share !== null && html`
          <label class="field">
            <span class="field-label">${tx("recording_dialogs.sent", { it: Math.round(share * 100) })}</span>
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
        [t("common.id"), one.recording_id],
        [t("recording_dialogs.from"), one.source === "live" ? t("recording_dialogs.environment", { env: one.env }) : t("recording_dialogs.a_file")],
        [t("common.topics"), one.filters.join(", ") || t("recording_dialogs.all_of_the_file")],
        [t("recording_dialogs.first_message"), when(one.first_at)],
        [t("common.last_message"), when(one.last_at)],
        [t("common.messages"), number(one.messages)],
        [t("common.size"), bytes(one.bytes)],
        [t("recording_dialogs.missing_at_most"), number(one.missing)],
        [t("recording_dialogs.note"), orNone(one.note)],
        [t("recording_dialogs.reason"), one.reason && html`<${Reason} text=${one.reason} />`],
      ]} />
      ${meta && html`<h3>${t("recording_dialogs.description_in_the_file")}</h3><pre tabindex="0">${JSON.stringify(JSON.parse(meta), null, 2)}</pre>`}
      ${skipped.length > 0 && html`
        <h3>${tx("recording_dialogs.lines_that_were_skipped", { bad_lines: one.bad_lines })}</h3>
        ${isEnglish() ? html`<${Skipped} lines=${skipped} />` : html`<${ServerText} text=${html`<${Skipped} lines=${skipped} />`} />`}`}
    <//>`;
}

const Skipped = ({ lines }) => html`
  <ul class="skipped" tabindex="0">${lines.map(({ line, reason }) => html`<li key=${line}>${tx("recording_dialogs.line", { line, reason })}</li>`)}</ul>`;

export function DeleteDialog({ recording, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(path`/api/v1/recordings/${recording.recording_id}`);
    toasts.say(t("recording_dialogs.is_deleted", { name: recording.name }));
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title=${t("recording_dialogs.delete_a_recording")} onClose=${onClose}>
      <p><strong>${recording.name}</strong> ${tx("recording_dialogs.with_messages_is_deleted_for", { messages: number(recording.messages) })}</p>
      <${Form} onSubmit=${remove} submit=${t("recording_dialogs.delete_it")} state=${state} danger />
    <//>`;
}
