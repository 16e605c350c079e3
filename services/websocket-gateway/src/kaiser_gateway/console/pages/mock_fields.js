/** The fields of a mock's sensors and actuators. */

import { CheckField, NumberField, SelectField, TextField } from "../ui/form.js";
import { html } from "../ui/html.js";

const PATTERNS = ["CONSTANT", "RANDOM", "DRIFT", "SINE"];

export const SensorFields = ({ problem }) => html`
  <${NumberField} label="Gpio" name="gpio" min="0" max="48" step="1" required value="4" problem=${problem} />
  <${TextField} label="Sensor type" name="sensor_type" required maxlength="64" value="DS18B20" problem=${problem} />
  <${NumberField} label="Value" name="base_value" required value="22.5" problem=${problem} />
  <${TextField} label="Unit" name="unit" maxlength="16" value="°C" problem=${problem} />
  <${NumberField} label="A reading every … s" name="interval_s" min="0.1" max="86400" required value="10" problem=${problem} />
  <${SelectField} label="Pattern" name="variation_pattern" options=${PATTERNS} problem=${problem} />
  <${NumberField} label="Range of the pattern, ±" name="variation_range" min="0" required value="1" problem=${problem} />`;

/** `prefix` keeps the names apart where a sensor's fields are in the same form. */
export const ActuatorFields = ({ problem, prefix = "" }) => html`
  <${NumberField} label="Gpio" name=${`${prefix}gpio`} min="0" max="48" step="1" required value="25" problem=${problem} />
  <${TextField} label="Actuator type" name=${`${prefix}actuator_type`} required maxlength="40" value="pump" problem=${problem} />
  <${NumberField} label="Maximum run time in s (0: no limit)" name=${`${prefix}max_runtime_s`} min="0" max="604800" step="1"
    required value="0" problem=${problem} />
  <${CheckField} label="On by default" name=${`${prefix}default_state`} />`;
