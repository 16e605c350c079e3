/** Dialogs of alarms: their steps, shelving, and the limits of a sensor. */

import { path } from "../core/api.js";
import { orNone } from "../core/format.js";
import { alarmText, kindText, sourceText } from "../core/sentences.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { DurationField } from "../ui/duration.js";
import { Form, NumberField, SelectField, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useLoaded } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Facts, ListState, ServerText } from "../ui/parts.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const NO_LIMITS = 404;
const SPANS = [["3600", t("alarm_parts.1_hour")], ["28800", t("alarm_parts.8_hours")], ["86400", t("common.1_day")], ["604800", t("common.7_days")]];
const USUAL_DELAYS_S = [10, 60, 300];
const LIMITS = ["hi_hi", "hi", "lo", "lo_lo"];

export function AlarmDialog({ alarm, onClose }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/alarms/${alarm.alarm_id}`), [alarm.alarm_id]);
  const directory = useDirectory();
  const steps = loaded.data?.steps ?? [];
  return html`
    <${Dialog} title=${alarmText(alarm, directory)} onClose=${onClose} wide>
      <${Facts} facts=${[
        [t("common.kind"), html`${kindText(alarm.kind)} <span class="quiet">${alarm.kind}</span>`],
        [t("alarm_parts.source"), sourceText(alarm.source)],
        [t("common.severity"), word(alarm.severity)],
        [t("alarm_parts.first_raised"), when(alarm.raised_at)],
        [t("alarm_parts.cleared"), alarm.cleared_at ? when(alarm.cleared_at) : t("alarm_parts.not_yet")],
      ]} />
      <${ServerText} text=${alarm.message} />
      <h3>${t("common.steps")}</h3>
      <${ListState} loaded=${loaded} count=${steps.length} empty=${t("alarm_parts.no_steps_are_kept")} />
      <ul class="reports">
        ${steps.map((step) => html`
          <li key=${step.step}><strong>${word(step.what.replace("_", " "))}</strong> ${when(step.at)}
            ${step.by ? t("common.by_2", { by: step.by }) : ""} <span class="quiet">${step.note ?? ""}</span></li>`)}
      </ul>
    <//>`;
}

export function ShelveDialog({ alarm, onDone, onClose }) {
  const { api, alarms } = useApp();
  const directory = useDirectory();
  const [shelve, state] = useAction(async ({ for_s: forS, note }) => {
    await api.post(path`/api/v1/alarms/${alarm.alarm_id}/shelve`, { for_s: Number(forS), note: note ?? "" });
    alarms.reload();
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title=${t("alarm_parts.shelve_this_alarm")} onClose=${onClose}>
      <p>${alarmText(alarm, directory)}</p>
      <${Form} onSubmit=${shelve} submit=${t("alarm_parts.shelve")} state=${state}>
        <${SelectField} label=${t("alarm_parts.silent_for")} name="for_s" options=${SPANS} />
        <${TextField} label=${t("alarm_parts.why_may_be_left_empty")} name="note" maxlength="500" />
      <//>
    <//>`;
}

/** The button beside a sensor's chart: which limits raise an alarm. */
export function LimitsButton({ sensor, unit }) {
  const [isOpen, open, close] = useDialog();
  return html`
    <button type="button" onClick=${() => open()}>${t("alarm_parts.alarm_limits")}</button>
    ${isOpen && html`<${LimitsDialog} sensor=${sensor} unit=${unit} onClose=${close} />`}`;
}

function LimitsDialog({ sensor, unit, onClose }) {
  const { api } = useApp();
  const { esp_id: espId, gpio, sensor_type: type, address } = sensor;
  const url = path`/api/v1/alarms/limits/${espId}/${gpio}/${type}` + (address && `?address=${encodeURIComponent(address)}`);
  const loaded = useLoaded(() => api.get(url).catch(noLimitsIf(NO_LIMITS)), [url]);
  return html`
    <${Dialog} title=${t("alarm_parts.alarm_limits_of_on_gpio", { type, gpio })} onClose=${onClose}>
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
    toasts.say(t("common.saved_in_force_from_the"));
    onClose();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("alarm_parts.the_limits_are_removed"));
    onClose();
  });
  const problem = state.problem && { ...state.problem, message: state.problem.message, field: (state.problem.field ?? "").replaceAll(", ", ".") };
  const of = unit ? t("alarm_parts.in", { unit }) : "";
  if (!session.may("operator")) {
    return html`<${Facts} facts=${LIMITS.map((name) => [name, orNone(limits[name])])} />`;
  }
  return html`
    <${Form} onSubmit=${save} submit=${t("common.save")} state=${state}>
      <div class="field-grid">
        <${NumberField} label=${t("alarm_parts.critical_over", { of })} name="hi_hi" value=${limits.hi_hi ?? ""} problem=${problem} hint="hi_hi" />
        <${NumberField} label=${t("alarm_parts.warning_over", { of })} name="hi" value=${limits.hi ?? ""} problem=${problem} hint="hi" />
        <${NumberField} label=${t("alarm_parts.warning_under", { of })} name="lo" value=${limits.lo ?? ""} problem=${problem} hint="lo" />
        <${NumberField} label=${t("alarm_parts.critical_under", { of })} name="lo_lo" value=${limits.lo_lo ?? ""} problem=${problem} hint="lo_lo" />
        <${NumberField} label=${t("alarm_parts.clears_when_back_by", { of })} name="hysteresis" min="0" value=${limits.hysteresis ?? 0} problem=${problem} />
        <${DurationField} label=${t("alarm_parts.outside_for_at_least")} name="delay_s" usual=${USUAL_DELAYS_S} zero=${t("rule_fields.no_time")} most=${86_400}
          value=${limits.delay_s ?? 0} problem=${problem} />
      </div>
      ${by && html`<p class="quiet">${tx("alarm_parts.set_by", { by, at: when(at) })}</p>`}
    <//>
    ${by && html`
      <${Button} class="danger-outline" isBusy=${removing.isBusy} onClick=${() => remove()}>${t("alarm_parts.remove_the_limits")}<//>`}`;
}
