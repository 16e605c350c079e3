/** The settings of an actuator: what it is, and its limits. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";

const DEFAULTS = { actuator_type: "relay", max_runtime_s: 0, min_value: 0, max_value: 1, interlocks: [], active: true };

export function ActuatorSettings({ actuator, onDone }) {
  const { api, toasts } = useApp();
  const [isRemoving, setRemoving] = useState(false);
  const url = path`/api/v1/actuators/${actuator.esp_id}/${actuator.gpio}`;
  const [save, state] = useAction(async (fields) => {
    await api.put(url, settingsOf(fields));
    toasts.say("Saved.");
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say("Its settings are forgotten.");
    setRemoving(false);
    onDone();
  });
  return html`
    <${Form} onSubmit=${save} submit="Save" state=${state}><${Fields} settings=${actuator} problem=${state.problem} /><//>
    ${actuator.registered && html`
      <button type="button" class="danger-outline" onClick=${() => setRemoving(true)}>Forget the settings…</button>`}
    ${isRemoving && html`
      <${Dialog} title="Forget the settings of this actuator?" onClose=${() => setRemoving(false)}>
        <${Form} onSubmit=${remove} submit="Forget" state=${removing} danger>
          <p>Its limits and interlocks are lost; its history stays. From then on it accepts only OFF.</p>
        <//>
      <//>`}`;
}

export function AddActuatorDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [add, state] = useAction(async ({ esp_id: espId, gpio, ...fields }) => {
    await api.put(path`/api/v1/actuators/${espId}/${gpio}`, settingsOf(fields));
    toasts.say(`Gpio ${gpio} of ${espId} is set up.`);
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title="Set up an actuator" onClose=${onClose} wide>
      <${Form} onSubmit=${add} submit="Set up" state=${state}>
        <div class="field-grid">
          <${TextField} label="Device id" name="esp_id" required maxlength="32" problem=${state.problem} />
          <${NumberField} label="Gpio" name="gpio" required min="0" max="48" step="1" problem=${state.problem} />
        </div>
        <${Fields} settings=${DEFAULTS} problem=${state.problem} />
      <//>
    <//>`;
}

const Fields = ({ settings, problem }) => html`
  <div class="field-grid">
    <${TextField} label="Name" name="name" maxlength="100" value=${settings.name ?? ""} problem=${problem} />
    <${TextField} label="Type" name="actuator_type" required maxlength="40" value=${settings.actuator_type}
      problem=${problem} hint="pump, valve, relay, pwm, …" />
    <${TextField} label="Subzone" name="subzone_id" maxlength="64" value=${settings.subzone_id ?? ""} problem=${problem} />
    <${NumberField} label="Maximum run time in s (0: no limit)" name="max_runtime_s" min="0" max="604800" step="1" required
      value=${settings.max_runtime_s} problem=${problem} />
    <${NumberField} label="Minimum PWM value (0 to 1)" name="min_value" min="0" max="1" required
      value=${settings.min_value} problem=${problem} />
    <${NumberField} label="Maximum PWM value (0 to 1)" name="max_value" min="0" max="1" required
      value=${settings.max_value} problem=${problem} />
    <${TextField} label="Interlocks" name="interlocks" value=${settings.interlocks.join(", ")} problem=${problem}
      pattern="[0-9, ]*" hint="gpios that must be off before this is switched on: 25, 26" />
  </div>
  <${CheckField} label="Active" name="active" checked=${settings.active} />
  <${CheckField} label="Inverted" name="inverted" checked=${settings.inverted} />
  <${CheckField} label="Critical" name="critical" checked=${settings.critical} />
  <${CheckField} label="On by default" name="default_state" checked=${settings.default_state} />`;

/** The body of a PUT. */
function settingsOf({ interlocks, ...fields }) {
  return { ...fields, interlocks: (interlocks ?? "").split(/[, ]+/).filter(Boolean).map(Number) };
}
