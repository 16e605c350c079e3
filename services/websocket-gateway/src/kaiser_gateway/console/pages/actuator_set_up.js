/** Sets up an actuator: one that has reported, chosen by its name, or a gpio of a device for one that has not. */

import { Problem, path } from "../core/api.js";
import { actuatorChoices, actuatorKey, actuatorName, actuatorText, deviceChoices, deviceName, whereOf } from "../core/names.js";
import { Dialog } from "../ui/dialog.js";
import { Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { useFreshDirectory } from "../ui/names.js";
import { Picker } from "../ui/picker.js";
import { NEW, SettingsFields, settingsOf } from "./actuator_settings.js";
import { t } from "../core/texts.js";

export function SetUpActuatorDialog({ onDone, onClose }) {
  const { api, directory, toasts } = useApp();
  const names = useFreshDirectory();
  const [place, setPlace] = useState({ esp_id: null, gpio: null });
  const known = names.actuators.get(actuatorKey(place));
  const [add, state] = useAction(async ({ gpio: _typed, ...fields }) => {
    const { esp_id: espId, gpio } = place;
    if (espId === null || gpio === null) throw new Problem({ status: 422, detail: t("actuator_settings.choose_one_or_give") });
    if (known?.registered) throw new Problem({ status: 422, detail: t("actuator_settings.is_set_up_already", { name: actuatorText(names, known) }) });
    await api.put(path`/api/v1/actuators/${espId}/${gpio}`, settingsOf(fields));
    toasts.say(t("actuator_settings.is_set_up", { name: `${actuatorName({ ...fields, gpio })} (${whereOf(names, espId)})` }));
    directory.reload();
    onDone();
    onClose();
  });
  const choices = actuatorChoices(names).filter(({ key }) => !names.actuators.get(key).registered);
  return html`
    <${Dialog} title=${t("common.set_up_an_actuator")} onClose=${onClose} wide>
      <${Form} onSubmit=${add} submit=${t("actuator_settings.set_up")} state=${state}>
        <div class="picker-place">
          <${Picker} label=${t("actuator_settings.actuator_to_set_up")} choices=${choices} empty=${t("actuator_settings.none_waits")}
            chosen=${place.esp_id !== null && place.gpio !== null ? actuatorKey(place) : null}
            chosenText=${`${actuatorName({ gpio: place.gpio })} (${deviceName(names, place.esp_id)})`}
            onChoose=${({ actuator }) => setPlace(actuator)} />
          <${Typed} ...${{ names, place, setPlace, problem: state.problem }} />
        </div>
        <${SettingsFields} settings=${{ ...NEW, actuator_type: known?.actuator_type ?? NEW.actuator_type }} problem=${state.problem} />
      <//>
    <//>`;
}

/** A gpio of a device, for an actuator that has not reported yet; the id of a device is typed only where a fleet is too large for the list. */
function Typed({ names, place, setPlace, problem }) {
  const change = (part) => setPlace((old) => ({ ...old, ...part }));
  return html`
    <details class="typed">
      <summary>${t("actuator_settings.one_that_has_not_reported")}</summary>
      <div class="field-grid">
        <${Picker} label=${t("common.device")} choices=${deviceChoices(names, (one) => one.state === "approved")} chosen=${place.esp_id}
          chosenText=${place.esp_id ?? ""} empty=${t("actuator_settings.no_device_is_there")} onChoose=${({ key }) => change({ esp_id: key })} />
        ${!names.isComplete && html`
          <${TextField} label=${t("common.device_id")} maxlength="32" value=${place.esp_id ?? ""}
            onInput=${({ target }) => change({ esp_id: target.value.trim() || null })} />`}
        <${NumberField} label=${t("common.gpio")} name="gpio" min="0" max="48" step="1" value=${place.gpio ?? ""} problem=${problem}
          onInput=${({ target }) => change({ gpio: target.value === "" ? null : Number(target.value) })} />
      </div>
    </details>`;
}
