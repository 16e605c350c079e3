/** The settings of an actuator: what it is, and its limits. */

import { path } from "../core/api.js";
import { changesOf } from "../core/changes.js";
import { Dialog } from "../ui/dialog.js";
import { DurationField } from "../ui/duration.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog } from "../ui/hooks.js";
import { t } from "../core/texts.js";

const USUAL_RUNS_S = [60, 600, 3600];

/** Of an actuator that is not set up yet; the run time ends by itself, unless the person chooses no limit. */
export const NEW = {
  actuator_type: "relay", max_runtime_s: 600, min_value: 0, max_value: 1, default_pwm: 0, interlocks: [], active: true,
};

export function ActuatorSettings({ actuator, onDone }) {
  const { api, directory, toasts } = useApp();
  const [isRemoving, begin, end] = useDialog();
  const url = path`/api/v1/actuators/${actuator.esp_id}/${actuator.gpio}`;
  const [save, state] = useAction(async (fields) => {
    const settings = settingsOf(fields);
    if (actuator.registered) await api.patch(url, changesOf(actuator, settings));
    else await api.put(url, settings);
    toasts.say(t("common.saved"));
    directory.reload();
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("actuator_settings.its_settings_are_forgotten"));
    end();
    onDone();
  });
  return html`
    <${Form} onSubmit=${save} submit=${t("common.save")} state=${state}>
      <${SettingsFields} settings=${actuator.registered ? actuator : { ...actuator, max_runtime_s: NEW.max_runtime_s }} problem=${state.problem} /><//>
    ${actuator.registered && html`
      <button type="button" class="danger-outline" onClick=${() => begin()}>${t("common.forget_the_settings")}</button>`}
    ${isRemoving && html`
      <${Dialog} title=${t("actuator_settings.forget_the_settings_of_this")} onClose=${end}>
        <${Form} onSubmit=${remove} submit=${t("common.forget")} state=${removing} danger>
          <p>${t("actuator_settings.its_limits_and_interlocks_are")}</p>
        <//>
      <//>`}`;
}

export const SettingsFields = ({ settings, problem }) => html`
  <div class="field-grid">
    <${TextField} label=${t("common.name")} name="name" maxlength="100" value=${settings.name ?? ""} problem=${problem} />
    <${TextField} key=${settings.actuator_type} label=${t("common.type")} name="actuator_type" required maxlength="40" value=${settings.actuator_type}
      problem=${problem} hint=${t("actuator_settings.pump_valve_relay_pwm")} />
    <${TextField} label=${t("common.subzone")} name="subzone_id" maxlength="64" value=${settings.subzone_id ?? ""} problem=${problem} />
    <${DurationField} label=${t("actuator_settings.maximum_run_time")} name="max_runtime_s" usual=${USUAL_RUNS_S} zero=${t("actuator_settings.no_limit")}
      most=${604_800} required value=${settings.max_runtime_s} problem=${problem} hint=${t("actuator_settings.it_is_switched_off_then")} />
    <${NumberField} label=${t("actuator_settings.minimum_pwm_value_0_to")} name="min_value" min="0" max="1" required
      value=${settings.min_value} problem=${problem} />
    <${NumberField} label=${t("actuator_settings.maximum_pwm_value_0_to")} name="max_value" min="0" max="1" required
      value=${settings.max_value} problem=${problem} />
    <${NumberField} label=${t("actuator_settings.pwm_by_default")} name="default_pwm" min="0" max="255" step="1" required
      value=${settings.default_pwm} problem=${problem} />
    <${NumberField} label=${t("actuator_settings.auxiliary_gpio")} name="aux_gpio" min="0" max="48" step="1"
      value=${settings.aux_gpio ?? ""} problem=${problem} hint=${t("actuator_settings.a_second_pin_of_it")} />
    <${TextField} label=${t("actuator_settings.interlocks")} name="interlocks" value=${settings.interlocks.join(", ")} problem=${problem}
      pattern="[0-9, ]*" hint=${t("actuator_settings.gpios_that_must_be_off")} />
  </div>
  <${CheckField} label=${t("common.active")} name="active" checked=${settings.active} />
  <${CheckField} label=${t("actuator_settings.inverted")} name="inverted" checked=${settings.inverted} />
  <${CheckField} label=${t("actuator_settings.critical")} name="critical" checked=${settings.critical} />
  <${CheckField} label=${t("common.on_by_default")} name="default_state" checked=${settings.default_state} />`;

/** The settings as the API has them. */
export function settingsOf({ interlocks, ...fields }) {
  return { ...fields, interlocks: (interlocks ?? "").split(/[, ]+/).filter(Boolean).map(Number) };
}
