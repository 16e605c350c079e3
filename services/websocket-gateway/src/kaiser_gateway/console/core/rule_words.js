/** Rules in words, and the names that are suggested for a rule and its alarms; pure. */

import { durationText } from "./durations.js";
import { actuatorName, actuatorKey, deviceName, sensorName, sensorOf } from "./names.js";

const COMPARED = { ">": "over", ">=": "at least", "<": "under", "<=": "at most", "==": "at", "!=": "not at" };
const NAME_MOST = 100;
const ALARM_MOST = 64;

/** "East over 30 °C for 1 min". */
export function ruleText({ conditions }, directory) {
  return conditions.map((one) => conditionText(one, directory)).filter(Boolean).join(" and ");
}

function conditionText(one, directory) {
  const held = one.for_s ? ` for ${durationText(one.for_s)}` : "";
  const found = WORDS[one.type]?.(one, directory) ?? "";
  return found && `${found}${held}`;
}

const WORDS = {
  sensor_threshold(one, directory) {
    const { name, unit } = named(one, directory);
    if (!name) return "";
    if (one.operator === "between") return `${name} between ${one.min} and ${one.max}${unit}`;
    return one.value === null || one.value === undefined ? "" : `${name} ${COMPARED[one.operator]} ${one.value}${unit}`;
  },
  hysteresis(one, directory) {
    const { name, unit } = named(one, directory);
    const above = one.activate_above ?? null;
    return name && `${name} ${above === null ? "under" : "over"} ${above ?? one.activate_below}${unit}`;
  },
  stale: (one, directory) => named(one, directory).name && `${named(one, directory).name} silent for ${durationText(one.after_s ?? 0)}`,
  time_window: ({ start, end }) => `${start} to ${end}`,
  alarm: ({ kind, state }) => `alarm ${(kind ?? "").replaceAll("_", " ")} ${state}`,
  compound: ({ operator, conditions }, directory) => {
    const words = conditions.map((one) => conditionText(one, directory)).filter(Boolean);
    if (operator === "NOT") return words.length ? `not ${words[0]}` : "";
    return words.length > 1 ? `(${words.join(operator === "OR" ? " or " : " and ")})` : words.join("");
  },
};

function named(one, directory) {
  if (!one.esp_id) return { name: "", unit: "" };
  const sensor = sensorOf(directory, one);
  return { name: sensorName(sensor ?? one), unit: sensor?.unit ? ` ${sensor.unit}` : "" };
}

/** What a rule does: "raise the alarm; ON to Pump 1 for 1 min". */
export function actionsText({ actions }, directory) {
  return actions.map((one) => actionText(one, directory)).join("; ");
}

function actionText(one, directory) {
  if (one.type === "actuator_command") {
    const known = directory.actuators.get(actuatorKey(one));
    const target = known ? actuatorName(known) : `gpio ${one.gpio} of ${deviceName(directory, one.esp_id)}`;
    return `${one.command} to ${target}${one.duration_s ? ` for ${durationText(one.duration_s)}` : ""}`;
  }
  if (one.type === "alarm") return alarmText(one);
  if (one.type === "notification") return `notify: ${one.message ?? ""}`;
  if (one.type === "delay") return `wait ${durationText(one.seconds ?? 0)}`;
  return one.actions.map((each) => actionText(each, directory)).join(", then ");
}

function alarmText({ do: what, name, severity, clear_when_false: ends }) {
  if (what !== "raise") return `clear the alarm ${name ?? ""}`.trim();
  return ends ? `raise a ${severity} alarm until that is over` : `raise a ${severity} alarm`;
}

/** A name as alarms have it: "East over 30 °C" → "east-over-30-c". */
export const alarmName = (text) =>
  text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, ALARM_MOST).replace(/-+$/, "") || "rule";

/** The rule with names where none was given: its own, and those and the messages of alarms that it raises. */
export function withNames(rule, directory) {
  const text = (ruleText(rule, directory) || "New rule").slice(0, NAME_MOST);
  const name = rule.name || text;
  return { ...rule, name, actions: rule.actions.map((one) => withAlarmName(one, name)) };
}

function withAlarmName(action, ruleName) {
  if (action.actions) return { ...action, actions: action.actions.map((one) => withAlarmName(one, ruleName)) };
  if (action.type !== "alarm" || action.do !== "raise") return action;
  return { ...action, name: action.name || alarmName(ruleName), message: action.message || ruleName };
}
