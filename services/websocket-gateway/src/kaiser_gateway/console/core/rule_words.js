/** Rules in words, their zones, and the names that are suggested for a rule and its alarms; pure. */

import { kindText } from "./sentences.js";
import { durationText } from "./durations.js";
import { actuatorName, actuatorKey, deviceName, sensorName, sensorOf, zoneOfDevice } from "./names.js";
import { t, word } from "./texts.js";

const COMPARED = {
  ">": (values) => t("rule_words.over", values),
  ">=": (values) => t("rule_words.at_least", values),
  "<": (values) => t("rule_words.under", values),
  "<=": (values) => t("rule_words.at_most", values),
  "==": (values) => t("rule_words.at", values),
  "!=": (values) => t("rule_words.not_at", values),
};
const NAME_MOST = 100;
const ALARM_MOST = 64;

const and = (texts) => texts.join(` ${t("rule_words.and")} `);
const held = (text, seconds) => (seconds ? t("rule_words.held", { text, time: durationText(seconds) }) : text);

/** "East over 30 °C for 1 min". */
export const ruleText = ({ conditions }, directory) => and(conditions.map((one) => conditionText(one, directory)).filter(Boolean));

function conditionText(one, directory) {
  const found = WORDS[one.type]?.(one, directory) ?? "";
  return found && held(found, one.for_s);
}

const WORDS = {
  sensor_threshold(one, directory) {
    const { name, unit } = named(one, directory);
    if (!name) return "";
    if (one.operator === "between") return t("rule_words.between", { name, from: one.min, figure: `${one.max}${unit}` });
    return one.value === null || one.value === undefined ? "" : COMPARED[one.operator]({ name, figure: `${one.value}${unit}` });
  },
  hysteresis(one, directory) {
    const { name, unit } = named(one, directory);
    const above = one.activate_above ?? null;
    return name && COMPARED[above === null ? "<" : ">"]({ name, figure: `${above ?? one.activate_below}${unit}` });
  },
  stale(one, directory) {
    const { name } = named(one, directory);
    return name && t("rule_words.silent", { name, time: durationText(one.after_s ?? 0) });
  },
  time_window: ({ start, end }) => t("rule_words.window", { start, end }),
  alarm: ({ kind, state }) => t("rule_words.alarm", { kind: kindText(kind ?? ""), state: word(state) }),
  compound: ({ operator, conditions }, directory) => {
    const words = conditions.map((one) => conditionText(one, directory)).filter(Boolean);
    if (operator === "NOT") return words.length ? t("rule_words.not", { text: words[0] }) : "";
    return words.length > 1 ? `(${operator === "OR" ? words.join(` ${t("rule_words.or")} `) : and(words)})` : words.join("");
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
    const target = known ? actuatorName(known) : t("common.gpio_of", { gpio: one.gpio, device: deviceName(directory, one.esp_id) });
    return held(t("rule_words.command", { command: word(one.command, "switch"), target }), one.duration_s);
  }
  if (one.type === "alarm") return alarmText(one);
  if (one.type === "notification") return t("rule_words.notify", { message: one.message ?? "" });
  if (one.type === "delay") return t("rule_words.wait", { time: durationText(one.seconds ?? 0) });
  return one.actions.map((each) => actionText(each, directory)).join(`, ${t("rule_words.then")} `);
}

function alarmText({ do: what, name, severity, clear_when_false: ends }) {
  if (what !== "raise") return name ? t("rule_words.clear_the_alarm_named", { name }) : t("rule_words.clear_the_alarm");
  const values = { severity: word(severity) };
  return ends ? t("rule_words.raise_an_alarm_until_over", values) : t("rule_words.raise_an_alarm", values);
}

/** The zones of the devices that a rule names, "" for none: "North house, South house". */
export function zonesOfRule({ conditions, actions }, directory) {
  const devicesOf = (part) => [part.esp_id, ...[...part.conditions ?? [], ...part.actions ?? []].flatMap(devicesOf)];
  const zones = new Set([...conditions, ...actions].flatMap(devicesOf).map((espId) => zoneOfDevice(directory, espId)));
  return [...zones].filter(Boolean).sort((one, other) => one.localeCompare(other)).join(", ");
}

const IN_ASCII = { ä: "ae", ö: "oe", ü: "ue", ß: "ss" };

/** A name as alarms have it: "East über 30 °C" → "east-ueber-30-c". */
export const alarmName = (text) =>
  text.toLowerCase().replace(/[äöüß]/g, (letter) => IN_ASCII[letter]).replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, ALARM_MOST).replace(/-+$/, "") || "rule";

/** The rule with names where none was given: its own, and those and the messages of alarms that it raises. */
export function withNames(rule, directory) {
  const text = (ruleText(rule, directory) || t("common.new_rule")).slice(0, NAME_MOST);
  const name = rule.name || text;
  return { ...rule, name, actions: rule.actions.map((one) => withAlarmName(one, name)) };
}

function withAlarmName(action, ruleName) {
  if (action.actions) return { ...action, actions: action.actions.map((one) => withAlarmName(one, ruleName)) };
  if (action.type !== "alarm" || action.do !== "raise") return action;
  return { ...action, name: action.name || alarmName(ruleName), message: action.message || ruleName };
}
