/** Dialogs of alarms: their steps, shelving, and the limits of a sensor. */

import { path } from "../core/api.js";
import { orNone } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Form, NumberField, SelectField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Facts, ListState } from "../ui/parts.js";
import { when } from "../ui/time.js";

const NO_LIMITS = 404;
const SPANS = [["3600", "1 hour"], ["28800", "8 hours"], ["86400", "1 day"], ["604800", "7 days"]];
const LIMITS = ["hi_hi", "hi", "lo", "lo_lo"];

export function AlarmDialog({ alarm, onClose }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/alarms/${alarm.alarm_id}`), [alarm.alarm_id]);
  const steps = loaded.data?.steps ?? [];
  return html`
    <${Dialog} title=${alarm.message} onClose=${onClose} wide>
      <${Facts} facts=${[
        ["Kind", alarm.kind],
        ["Source", alarm.source || "Kaiser"],
        ["Severity", alarm.severity],
        ["First raised", when(alarm.raised_at)],
        ["Cleared", alarm.cleared_at ? when(alarm.cleared_at) : "not yet"],
      ]} />
      <h3>Steps</h3>
      <${ListState} loaded=${loaded} count=${steps.length} empty="No steps are kept." />
      <ul class="reports">
        ${steps.map((step) => html`
          <li key=${step.step}><strong>${step.what.replace("_", " ")}</strong> ${when(step.at)}
            ${step.by ? ` by ${step.by}` : ""} <span class="quiet">${step.note ?? ""}</span></li>`)}
      </ul>
    <//>`;
}

export function ShelveDialog({ alarm, onDone, onClose }) {
  const { api, alarms } = useApp();
  const [shelve, state] = useAction(async ({ for_s: forS, note }) => {
    await api.post(path`/api/v1/alarms/${alarm.alarm_id}/shelve`, { for_s: Number(forS), note: note ?? "" });
    alarms.reload();
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title="Shelve this alarm" onClose=${onClose}>
      <p>${alarm.message}</p>
      <${Form} onSubmit=${shelve} submit="Shelve" state=${state}>
        <${SelectField} label="Silent for" name="for_s" options=${SPANS} />
        <${TextField} label="Why (may be left empty)" name="note" maxlength="500" />
      <//>
    <//>`;
}

/** The button beside a sensor's chart: which limits raise an alarm. */
export function LimitsButton({ sensor, unit }) {
  const [isOpen, setOpen] = useState(false);
  return html`
    <button type="button" onClick=${() => setOpen(true)}>Alarm limits…</button>
    ${isOpen && html`<${LimitsDialog} sensor=${sensor} unit=${unit} onClose=${() => setOpen(false)} />`}`;
}

function LimitsDialog({ sensor, unit, onClose }) {
  const { api } = useApp();
  const { esp_id: espId, gpio, sensor_type: type, address } = sensor;
  const url = path`/api/v1/alarms/limits/${espId}/${gpio}/${type}` + (address && `?address=${encodeURIComponent(address)}`);
  const loaded = useLoaded(() => api.get(url).catch(noLimitsIf(NO_LIMITS)), [url]);
  return html`
    <${Dialog} title=${`Alarm limits of ${type} on gpio ${gpio}`} onClose=${onClose}>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`<${LimitsForm} url=${url} found=${loaded.data} unit=${unit} onClose=${onClose} />`}
    <//>`;
}

const noLimitsIf = (status) => (problem) => {
  if (problem.status !== status) throw problem;
  return { limits: {} };
};

function LimitsForm({ url, found, unit, onClose }) {
  const { api, session, toasts } = useApp();
  const { limits, changed_by: by, changed_at: at } = found;
  const [save, state] = useAction(async (fields) => {
    await api.put(url, { ...fields, hysteresis: fields.hysteresis ?? 0, delay_s: fields.delay_s ?? 0 });
    toasts.say("Saved; in force from the next reading on.");
    onClose();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say("The limits are removed.");
    onClose();
  });
  const problem = state.problem && { ...state.problem, message: state.problem.message, field: (state.problem.field ?? "").replaceAll(", ", ".") };
  const of = unit ? ` in ${unit}` : "";
  if (!session.may("operator")) {
    return html`<${Facts} facts=${LIMITS.map((name) => [name, orNone(limits[name])])} />`;
  }
  return html`
    <${Form} onSubmit=${save} submit="Save" state=${state}>
      <div class="field-grid">
        <${NumberField} label=${`Critical over${of}`} name="hi_hi" value=${limits.hi_hi ?? ""} problem=${problem} hint="hi_hi" />
        <${NumberField} label=${`Warning over${of}`} name="hi" value=${limits.hi ?? ""} problem=${problem} hint="hi" />
        <${NumberField} label=${`Warning under${of}`} name="lo" value=${limits.lo ?? ""} problem=${problem} hint="lo" />
        <${NumberField} label=${`Critical under${of}`} name="lo_lo" value=${limits.lo_lo ?? ""} problem=${problem} hint="lo_lo" />
        <${NumberField} label=${`Clears when back by${of}`} name="hysteresis" min="0" value=${limits.hysteresis ?? 0} problem=${problem} />
        <${NumberField} label="Only after s outside" name="delay_s" min="0" max="86400" step="1" value=${limits.delay_s ?? 0} problem=${problem} />
      </div>
      ${by && html`<p class="quiet">Set by ${by}, ${when(at)}.</p>`}
    <//>
    ${by && html`
      <button type="button" class="danger-outline" disabled=${removing.isBusy} onClick=${() => remove()}>Remove the limits</button>`}`;
}
