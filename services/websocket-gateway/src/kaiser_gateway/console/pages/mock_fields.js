/** The fields of a mock's sensors and actuators. */

import { DurationField } from "../ui/duration.js";
import { CheckField, NumberField, SelectField, TextField } from "../ui/form.js";
import { html } from "../ui/html.js";
import { t } from "../core/texts.js";

const PATTERNS = ["CONSTANT", "RANDOM", "DRIFT", "SINE"];

export const SensorFields = ({ problem }) => html`
  <${NumberField} label=${t("common.gpio")} name="gpio" min="0" max="48" step="1" required value="4" problem=${problem} />
  <${TextField} label=${t("common.sensor_type")} name="sensor_type" required maxlength="64" value="DS18B20" problem=${problem} />
  <${NumberField} label=${t("common.value")} name="base_value" required value="22.5" problem=${problem} />
  <${TextField} label=${t("mock_fields.unit")} name="unit" maxlength="16" value="°C" problem=${problem} />
  <${DurationField} label=${t("mock_fields.a_reading_every")} name="interval_s" usual=${[2, 10, 60]} least=${0.1} most=${86_400} required
    value=${10} problem=${problem} />
  <${SelectField} label=${t("common.pattern")} name="variation_pattern" options=${PATTERNS} problem=${problem} />
  <${NumberField} label=${t("mock_fields.range_of_the_pattern")} name="variation_range" min="0" required value="1" problem=${problem} />`;

/** `prefix` keeps the names apart where a sensor's fields are in the same form. */
export const ActuatorFields = ({ problem, prefix = "" }) => html`
  <${NumberField} label=${t("common.gpio")} name=${`${prefix}gpio`} min="0" max="48" step="1" required value="25" problem=${problem} />
  <${TextField} label=${t("mock_fields.actuator_type")} name=${`${prefix}actuator_type`} required maxlength="40" value="pump" problem=${problem} />
  <${DurationField} label=${t("actuator_settings.maximum_run_time")} name=${`${prefix}max_runtime_s`} usual=${[60, 600, 3600]} most=${604_800} required
    zero=${t("actuator_settings.no_limit")} value=${600} problem=${problem} />
  <${CheckField} label=${t("common.on_by_default")} name=${`${prefix}default_state`} />`;
