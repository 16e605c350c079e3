/** Which sensor or actuator a part of a rule is about: chosen by name with its value, or typed where it has not sent yet. */

import { actuatorChoices, actuatorKey, actuatorText, sensorChoices, sensorOf, sensorText } from "../core/names.js";
import { sensorKey } from "../core/keys.js";
import { NumberField, TextField } from "../ui/form.js";
import { html } from "../ui/html.js";
import { useFreshDirectory } from "../ui/names.js";
import { Picker } from "../ui/picker.js";
import { t } from "../core/texts.js";

/** `field`: of rule_fields.js with kind "sensor" or "actuator". `onChange` gets what names it: esp_id, gpio and so on. */
export function PartPicker({ field, item, onChange }) {
  return field.kind === "sensor"
    ? html`<${SensorPicker} ...${{ field, item, onChange }} />` : html`<${ActuatorPicker} ...${{ field, item, onChange }} />`;
}

function SensorPicker({ field, item, onChange }) {
  const directory = useFreshDirectory();
  const known = item.esp_id ? sensorOf(directory, item) : null;
  const chosen = item.esp_id ? (known ? sensorKey(known) : "typed") : null;
  return html`
    <div class="picker-place">
      <${Picker} label=${field.label} choices=${sensorChoices(directory)} chosen=${chosen}
        chosenText=${item.esp_id ? sensorText(directory, item) : ""} empty=${t("common.no_sensor_has_sent_yet")}
        onChoose=${({ sensor }) => onChange({ sensor_type: null, address: null, ...sensor })} />
      <${Typed} summary=${t("rule_pickers.a_sensor_that_has_not")} item=${item} onChange=${onChange} withType />
    </div>`;
}

function ActuatorPicker({ field, item, onChange }) {
  const directory = useFreshDirectory();
  const chosen = item.esp_id ? actuatorKey(item) : null;
  return html`
    <div class="picker-place">
      <${Picker} label=${field.label} choices=${actuatorChoices(directory)} chosen=${chosen}
        chosenText=${item.esp_id ? actuatorText(directory, item) : ""} empty=${t("common.no_actuator_is_known")}
        onChoose=${({ actuator }) => onChange(actuator)} />
      <${Typed} summary=${t("rule_pickers.an_actuator_that_is_not")} item=${item} onChange=${onChange} />
    </div>`;
}

/** For what is not in the list. Told at each key: at leaving the field, the page could move under the press of a button. */
function Typed({ summary, item, onChange, withType = false }) {
  const typed = (name) => ({ value: item[name] ?? "", onInput: ({ target }) => onChange({ [name]: target.value.trim() || null }) });
  return html`
    <details class="typed">
      <summary>${summary}</summary>
      <div class="field-grid">
        <${TextField} label=${t("common.device_id")} maxlength="32" ...${typed("esp_id")} />
        <${NumberField} label=${t("common.gpio")} min="0" max="48" step="1" value=${item.gpio ?? ""}
          onInput=${({ target }) => onChange({ gpio: target.value === "" ? null : Number(target.value) })} />
        ${withType && html`
          <${TextField} label=${t("common.sensor_type")} maxlength="64" ...${typed("sensor_type")} />
          <${TextField} label=${t("rule_pickers.address_if_it_has_one")} maxlength="18" ...${typed("address")} />`}
      </div>
    </details>`;
}
