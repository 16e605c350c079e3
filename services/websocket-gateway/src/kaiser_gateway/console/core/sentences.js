/** Alarms and system events in sentences of the catalogue: from their kind or name, their fields and their facts; pure. */

import { duration, number } from "./format.js";
import { EMPTY, calledIn } from "./names.js";
import { isEnglish, sentence, t, word } from "./texts.js";

/** The kind of an alarm in words: device_offline → "device offline". */
export const kindText = (kind) => word(kind, "alarm_kind", kind.replaceAll("_", " "));

/**
 * An alarm in one sentence, with the directory's names (names.js) if it has them. The server's own text if the kind is unknown, or if
 * facts are missing and the language is English.
 */
export function alarmText(alarm, directory = EMPTY) {
  const { kind, source, message, facts = {} } = alarm;
  const said = sentence(kind, "alarm_text", { ...common(alarm, directory), ...inWords(facts), source, severity: word(source), target: targetOf(alarm, directory) });
  if (said !== null) return said + tail(facts);
  if (isEnglish() || word(kind, "alarm_kind", null) === null) return message;
  return source ? `${kindText(kind)}: ${source}` : kindText(kind);
}

/** A system event in one sentence, likewise. */
export function systemEventText({ event, message, details = {}, ...data }, directory = EMPTY) {
  const about = { ...data, ...details };
  const said = sentence(event, "system_event", { ...common({ ...about, message }, directory), ...inWords(details), target: targetOf(about, directory) });
  return said === null ? message : said + tail(details);
}

/** The reason why a command did not succeed or is not confirmed yet, from how far it came; a device's own words stay. null: show the server's
 *  text, which alone has the reason, or is in the language of the console. */
export function commandReason({ state, sent_at: sentAt, message, state_reason: reason }) {
  if (isEnglish()) return null;
  if (state === "failed") return message || t("sentences.the_device_refused");
  if (state !== "expired") return word(reason, "command_reason", null);
  return sentAt === null || sentAt === undefined ? t("sentences.it_was_not_sent_in_time") : t("sentences.the_device_did_not_answer");
}

/** Fields that alarms and events have. */
const common = ({ gpio, message, ...about }, directory) => ({ ...calledIn(directory, { gpio, ...about }), gpio, message });

/** The target of a stop or an alert. */
function targetOf({ esp_id: espId, gpio, source = "" }, directory) {
  if (!espId) return t("emergency.everything");
  const pin = gpio ?? /^[^/]+\/(\d+)$/.exec(source)?.[1];
  const { device } = calledIn(directory, { esp_id: espId });
  return pin === undefined || pin === null ? device : t("common.gpio_of", { gpio: pin, device });
}

const WORDS = {
  value: (value, { unit }) => withUnit(value, unit),
  limit: (value, { unit }) => withUnit(value, unit),
  command: (value) => word(value, "switch", word(value, "system_command")),
  state: (value) => word(value, "command", word(value, "push")),
  status: (value) => word(value, "push"),
  alert_type: (value) => word(value, "alert"),
  kind: (value) => word(value, "environment"),
  off_s: duration,
  left_s: duration,
  over: (conditions) => conditions.map(([kind, source]) => [kindText(kind), source].filter(Boolean).join(" ")).join(", "),
  devices: (found) => found.length,
};

/** Facts as they are shown; numbers in the form of the language. */
const inWords = (facts) => Object.fromEntries(Object.entries(facts)
  .filter(([, value]) => value !== null && value !== undefined)
  .map(([name, value]) => [name, WORDS[name] ? WORDS[name](value, facts) : typeof value === "number" ? number(value) : value]));

const withUnit = (value, unit) => `${number(value)} ${unit ?? ""}`.trim();

/** What a person or a device said of a stop, or in the catalogue's words what Kaiser says where they gave no reason. */
export const noteText = (note) => word(note, "note", word(note, "alert"));

/** The source of an alarm of no device: a part of Kaiser, or what it says in words. */
export const sourceText = (source) => (source === "all" ? t("emergency.everything") : SEVERITIES.has(source) ? word(source) : source || "Kaiser");

const SEVERITIES = new Set(["critical", "warning", "info"]);

/** The note of a person or a device; in English also the reason in the server's words. */
const tail = ({ note, reason }) => [note && noteText(note), isEnglish() && reason].filter(Boolean).map((text) => `: ${text}`).join("");
