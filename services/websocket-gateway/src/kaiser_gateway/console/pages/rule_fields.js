/** What a rule consists of: the fields of each kind of condition and action, as data; and a rule's settings, cleaned. */

import { zoneName } from "../core/times.js";
import { t, word } from "../core/texts.js";

const SENSOR = [{ name: "sensor", label: t("common.sensor"), kind: "sensor", names: ["esp_id", "gpio", "sensor_type", "address"] }];
const ACTUATOR = { name: "actuator", label: t("common.actuator"), kind: "actuator", names: ["esp_id", "gpio"] };
const HELD = { name: "for_s", label: t("rule_fields.for_at_least"), kind: "duration", usual: [10, 60, 300], zero: t("rule_fields.no_time"), least: 0 };

const OPERATORS = [["AND", t("rule_fields.all")], ["OR", t("rule_fields.at_least_one")], ["NOT", t("rule_fields.not")]];

const named = (severities) => severities.map((each) => [each, word(each)]);
const SEVERITIES = [["", t("common.any_severity")], ...named(["info", "warning", "critical"])];
const ALARM_STATES = [
  ["standing", t("rule_fields.standing_raised_or_acknowledged")],
  ["raised", t("rule_fields.raised_not_acknowledged")],
  ["acknowledged", t("rule_fields.acknowledged_still_standing")],
  ["cleared", t("rule_fields.cleared_not_acknowledged")],
];
const ALARM_ACTIONS = [["raise", t("rule_fields.raise")], ["clear", t("rule_fields.clear")]];

const isBetween = ({ operator }) => operator === "between";
const raises = ({ do: what }) => what === "raise";
const isPwm = ({ command }) => command === "PWM";

export const CONDITIONS = {
  sensor_threshold: {
    text: t("rule_fields.a_sensor_s_value"),
    fields: [
      ...SENSOR,
      { name: "operator", label: t("rule_fields.is"), kind: "select", options: [">", ">=", "<", "<=", "==", "!=", "between"] },
      { name: "value", label: t("common.value"), kind: "number", required: true, when: (one) => !isBetween(one) },
      { name: "min", label: t("rule_fields.from"), kind: "number", required: true, when: isBetween },
      { name: "max", label: t("common.to"), kind: "number", required: true, when: isBetween },
      HELD,
    ],
    start: { operator: ">" },
  },
  hysteresis: {
    text: t("rule_fields.a_sensor_s_value_with"),
    fields: [
      ...SENSOR,
      { name: "activate_above", label: t("rule_fields.true_above"), kind: "number" },
      { name: "deactivate_below", label: t("rule_fields.until_below"), kind: "number" },
      { name: "activate_below", label: t("rule_fields.or_true_below"), kind: "number" },
      { name: "deactivate_above", label: t("rule_fields.until_above"), kind: "number" },
      HELD,
    ],
    start: {},
  },
  time_window: {
    text: t("rule_fields.the_time_of_day"),
    fields: [
      { name: "start", label: t("rule_fields.from"), kind: "text", required: true, pattern: "\\d\\d:\\d\\d" },
      { name: "end", label: t("common.to"), kind: "text", required: true, pattern: "\\d\\d:\\d\\d" },
      { name: "days_of_week", label: t("rule_fields.on"), kind: "days" },
      { name: "timezone", label: t("common.time_zone"), kind: "text", required: true },
      HELD,
    ],
    start: { start: "06:00", end: "20:00", timezone: zoneName() },
  },
  stale: {
    text: t("rule_fields.a_sensor_is_silent"),
    fields: [...SENSOR, { name: "after_s", label: t("rule_fields.for"), kind: "duration", usual: [60, 300, 900, 3600], required: true, least: 1 }],
    start: { after_s: 300 },
  },
  alarm: {
    text: t("rule_fields.an_alarm"),
    fields: [
      { name: "kind", label: t("rule_fields.kind_of_alarm"), kind: "text", required: true, pattern: "[a-z][a-z0-9_]*" },
      { name: "source", label: t("rule_fields.source_empty_any"), kind: "text" },
      { name: "esp_id", label: t("rule_fields.device_empty_any"), kind: "text" },
      { name: "severity", label: t("rule_fields.at_least"), kind: "select", options: SEVERITIES },
      { name: "state", label: t("rule_fields.is"), kind: "select", options: ALARM_STATES },
      HELD,
    ],
    start: { kind: "device_offline", severity: null, state: "standing" },
  },
  compound: {
    text: t("rule_fields.all_one_or_none_of"),
    fields: [{ name: "operator", label: t("common.of_these"), kind: "select", options: OPERATORS }],
    start: { operator: "AND", conditions: [] },
    parts: "conditions",
  },
};

export const STEPS = {
  actuator_command: {
    text: t("rule_fields.command_an_actuator"),
    fields: [
      ACTUATOR,
      { name: "command", label: t("common.command"), kind: "select", options: ["ON", "OFF", "PWM", "TOGGLE"].map((one) => [one, word(one, "switch")]) },
      { name: "value", label: t("rule_fields.share_0_to_1"), kind: "number", required: true, min: 0, max: 1, when: isPwm },
      {
        name: "duration_s", label: t("rule_fields.for"), kind: "duration", usual: [10, 60, 600, 3600], zero: t("common.until_further_notice"),
        required: true, when: (one) => one.command !== "OFF",
      },
    ],
    start: { command: "ON", duration_s: 60 },
  },
  notification: {
    text: t("rule_fields.notify"),
    fields: [
      { name: "message", label: t("common.message"), kind: "text", required: true },
      { name: "severity", label: t("common.severity"), kind: "select", options: named(["info", "warning", "error", "critical"]) },
      { name: "webhook_url", label: t("rule_fields.webhook_may_be_left_empty"), kind: "url" },
    ],
    start: { severity: "info" },
  },
  alarm: {
    text: t("rule_fields.raise_or_clear_an_alarm"),
    fields: [
      { name: "do", label: t("common.do"), kind: "select", options: ALARM_ACTIONS },
      { name: "name", label: t("rule_fields.name_of_the_alarm"), kind: "text", pattern: "[a-z0-9][a-z0-9_\\-]*", placeholder: t("rule_fields.made_from_the_rule") },
      { name: "severity", label: t("common.severity"), kind: "select", options: named(["info", "warning", "critical"]), when: raises },
      { name: "message", label: t("common.message"), kind: "text", when: raises, placeholder: t("rule_fields.made_from_the_rule") },
      { name: "clear_when_false", label: t("rule_fields.clear_it_when_the_conditions"), kind: "check", when: raises },
    ],
    start: { do: "raise", severity: "warning", clear_when_false: true },
  },
  delay: {
    text: t("rule_fields.wait"),
    fields: [{ name: "seconds", label: t("rule_fields.for"), kind: "duration", usual: [10, 60, 300], required: true, least: 0, most: 3600 }],
    start: { seconds: 10 },
  },
};

export const ACTIONS = {
  ...STEPS,
  sequence: {
    text: t("rule_fields.one_after_the_other"),
    fields: [{ name: "abort_on_failure", label: t("rule_fields.stop_at_a_failure"), kind: "check" }],
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
