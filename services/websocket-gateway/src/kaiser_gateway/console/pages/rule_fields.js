/** What a rule consists of: the fields of each kind of condition and action, as data; and a rule's settings, cleaned. */

import { zoneName } from "../core/times.js";

const SENSOR = [{ name: "sensor", label: "Sensor", kind: "sensor", names: ["esp_id", "gpio", "sensor_type", "address"] }];
const ACTUATOR = { name: "actuator", label: "Actuator", kind: "actuator", names: ["esp_id", "gpio"] };
const HELD = { name: "for_s", label: "for at least", kind: "duration", usual: [10, 60, 300], zero: "no time", least: 0 };

const OPERATORS = [["AND", "all"], ["OR", "at least one"], ["NOT", "not"]];

const SEVERITIES = [["", "any severity"], "info", "warning", "critical"];
const ALARM_STATES = [
  ["standing", "standing (raised or acknowledged)"],
  ["raised", "raised, not acknowledged"],
  ["acknowledged", "acknowledged, still standing"],
  ["cleared", "cleared, not acknowledged"],
];
const ALARM_ACTIONS = [["raise", "raise"], ["clear", "clear"]];

const isBetween = ({ operator }) => operator === "between";
const raises = ({ do: what }) => what === "raise";
const isPwm = ({ command }) => command === "PWM";

export const CONDITIONS = {
  sensor_threshold: {
    text: "a sensor's value",
    fields: [
      ...SENSOR,
      { name: "operator", label: "is", kind: "select", options: [">", ">=", "<", "<=", "==", "!=", "between"] },
      { name: "value", label: "Value", kind: "number", required: true, when: (one) => !isBetween(one) },
      { name: "min", label: "From", kind: "number", required: true, when: isBetween },
      { name: "max", label: "To", kind: "number", required: true, when: isBetween },
      HELD,
    ],
    start: { operator: ">" },
  },
  hysteresis: {
    text: "a sensor's value, with hysteresis",
    fields: [
      ...SENSOR,
      { name: "activate_above", label: "true above", kind: "number" },
      { name: "deactivate_below", label: "until below", kind: "number" },
      { name: "activate_below", label: "or true below", kind: "number" },
      { name: "deactivate_above", label: "until above", kind: "number" },
      HELD,
    ],
    start: {},
  },
  time_window: {
    text: "the time of day",
    fields: [
      { name: "start", label: "From", kind: "text", required: true, pattern: "\\d\\d:\\d\\d" },
      { name: "end", label: "To", kind: "text", required: true, pattern: "\\d\\d:\\d\\d" },
      { name: "days_of_week", label: "On", kind: "days" },
      { name: "timezone", label: "Time zone", kind: "text", required: true },
      HELD,
    ],
    start: { start: "06:00", end: "20:00", timezone: zoneName() },
  },
  stale: {
    text: "a sensor is silent",
    fields: [...SENSOR, { name: "after_s", label: "for", kind: "duration", usual: [60, 300, 900, 3600], required: true, least: 1 }],
    start: { after_s: 300 },
  },
  alarm: {
    text: "an alarm",
    fields: [
      { name: "kind", label: "Kind of alarm", kind: "text", required: true, pattern: "[a-z][a-z0-9_]*" },
      { name: "source", label: "Source (empty: any)", kind: "text" },
      { name: "esp_id", label: "Device (empty: any)", kind: "text" },
      { name: "severity", label: "At least", kind: "select", options: SEVERITIES },
      { name: "state", label: "is", kind: "select", options: ALARM_STATES },
      HELD,
    ],
    start: { kind: "device_offline", severity: null, state: "standing" },
  },
  compound: {
    text: "all, one, or none of …",
    fields: [{ name: "operator", label: "Of these", kind: "select", options: OPERATORS }],
    start: { operator: "AND", conditions: [] },
    parts: "conditions",
  },
};

export const STEPS = {
  actuator_command: {
    text: "command an actuator",
    fields: [
      ACTUATOR,
      { name: "command", label: "Command", kind: "select", options: ["ON", "OFF", "PWM", "TOGGLE"] },
      { name: "value", label: "Share (0 to 1)", kind: "number", required: true, min: 0, max: 1, when: isPwm },
      {
        name: "duration_s", label: "for", kind: "duration", usual: [10, 60, 600, 3600], zero: "until further notice",
        required: true, when: (one) => one.command !== "OFF",
      },
    ],
    start: { command: "ON", duration_s: 60 },
  },
  notification: {
    text: "notify",
    fields: [
      { name: "message", label: "Message", kind: "text", required: true },
      { name: "severity", label: "Severity", kind: "select", options: ["info", "warning", "error", "critical"] },
      { name: "webhook_url", label: "Webhook (may be left empty)", kind: "url" },
    ],
    start: { severity: "info" },
  },
  alarm: {
    text: "raise or clear an alarm",
    fields: [
      { name: "do", label: "Do", kind: "select", options: ALARM_ACTIONS },
      { name: "name", label: "Name of the alarm", kind: "text", pattern: "[a-z0-9][a-z0-9_\\-]*", placeholder: "made from the rule" },
      { name: "severity", label: "Severity", kind: "select", options: ["info", "warning", "critical"], when: raises },
      { name: "message", label: "Message", kind: "text", when: raises, placeholder: "made from the rule" },
      { name: "clear_when_false", label: "Clear it when the conditions are false again", kind: "check", when: raises },
    ],
    start: { do: "raise", severity: "warning", clear_when_false: true },
  },
  delay: {
    text: "wait",
    fields: [{ name: "seconds", label: "for", kind: "duration", usual: [10, 60, 300], required: true, least: 0, most: 3600 }],
    start: { seconds: 10 },
  },
};

export const ACTIONS = {
  ...STEPS,
  sequence: {
    text: "one after the other …",
    fields: [{ name: "abort_on_failure", label: "Stop at a failure", kind: "check" }],
    start: { abort_on_failure: true, actions: [] },
    parts: "actions",
  },
};

const SETTINGS = ["name", "description", "enabled", "priority", "mode", "cooldown_s", "max_executions_per_hour"];

/** A rule that is being begun. */
export const NEW_RULE = {
  name: "",
  description: null,
  enabled: true,
  priority: 50,
  mode: "edge",
  conditions: [{ type: "sensor_threshold", ...CONDITIONS.sensor_threshold.start }],
  actions: [{ type: "alarm", ...STEPS.alarm.start }],
  cooldown_s: 0,
  max_executions_per_hour: null,
};

/** What of a rule is set by an operator, without fields that belong to another choice, such as min of `>`. */
export function settingsOf(rule) {
  const settings = Object.fromEntries(SETTINGS.map((name) => [name, rule[name]]));
  return {
    ...settings,
    conditions: rule.conditions.map((one) => cleaned(one, CONDITIONS)),
    actions: rule.actions.map((one) => cleaned(one, ACTIONS)),
  };
}

function cleaned(one, kinds) {
  const { fields, parts } = kinds[one.type];
  const names = fields.filter(({ when = () => true }) => when(one)).flatMap(({ name, names: several = [name] }) => several);
  const kept = names.filter((name) => one[name] !== null && one[name] !== undefined && one[name] !== "");
  const found = Object.fromEntries(kept.map((name) => [name, one[name]]));
  const inner = parts ? { [parts]: one[parts].map((part) => cleaned(part, kinds)) } : {};
  return { type: one.type, ...found, ...inner };
}
