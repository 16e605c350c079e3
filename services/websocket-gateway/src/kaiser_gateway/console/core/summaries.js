/** How events read: one line each. */

import { actuatorState, number, orNone, sensorValue } from "./format.js";
import { alarmText, systemEventText } from "./sentences.js";
import { isEnglish, t, word } from "./texts.js";

/** A line, with what follows it where there is something. */
const withMore = (line, more) => (more ? `${line}: ${more}` : line);

const severe = ({ severity }) => (severity ? `${word(severity)}: ` : "");

const SUMMARIES = {
  sensor_data: (data) => t("format.gpio_2", { gpio: data.gpio, sensor_type: data.sensor_type, it: data.address ? ` ${data.address}` : "", data: sensorValue(data), quality: word(data.quality) }),
  actuator_status: (data) => t("format.gpio_is", { gpio: data.gpio, actuator_type: data.actuator_type, data: actuatorState(data) }),
  actuator_response: (data) => t("format.gpio_3", { gpio: data.gpio, command: word(data.command, "switch"), it: data.state ? word(data.state, "command") : (data.success ? t("common.done") : t("common.failed")) }),
  actuator_alert: (data) => severe(data) + withMore(t("format.gpio", { gpio: data.gpio, alert_type: word(data.alert_type, "alert") }), data.message),
  esp_health: (data) => t("format.b_free_dbm", { status: word(data.status), heap_free: number(data.heap_free), wifi_rssi: number(data.wifi_rssi) }),
  config_response: (data) => withMore(t("format.configuration", { status: word(data.status, "push") }), isEnglish() && data.message),
  zone_assignment: (data) => t("format.zone", { zone_id: orNone(data.zone_id), status: word(data.status, "push") }),
  logic_execution: (data) => t("format.rule", { rule_name: data.rule_name, it: data.success ? t("common.done") : (isEnglish() && data.reason) || (data.outcome ? word(data.outcome) : t("format.not_done")) }),
  system_event: (data, directory) => severe(data) + systemEventText(data, directory),
  alarm: (data, directory) => t("format.alarm", { severity: word(data.severity), it: word(data.what.replace("_", " ")), it2: data.by ? t("common.by_2", { by: data.by }) : "", message: alarmText(data, directory) }),
  factory_module: (data) => `${data.type ?? data.kind} ${data.serial}: ${word(data.availability, "availability")}${data.action ? `, ${data.action.command ?? "?"} ${word(data.action.state, "action")}` : ""}`,
  factory_order: (data) => t("format.order_step_of", { it: data.type ?? "?", state: word(data.state, "order"), steps_done: data.steps_done, steps_total: data.steps_total }),
  factory_stock: (data) => t("format.store_pieces", { hbw: data.hbw, n: data.bays.filter(({ type }) => type).length }),
  factory_command: (data) => t("format.by", { do: word(data.do, "deed"), user: data.user, state: word(data.state, "command", data.state.replaceAll("_", " ")) }),
  factory_replay: (data) => t("format.replay_of_recording_of_messages", { recording_id: data.recording_id, state: word(data.state), number: data.number, total: data.total }),
  factory_environment: (data) => t("format.environment_is_in_force", { env: data.env, kind: word(data.kind, "environment") }),
};

/** An event in one line, with the names of the directory (names.js) where it has them. One that was rejected at first and
 * replayed is marked, because it says nothing about now. */
export function summary({ type, data }, directory = undefined) {
  const line = SUMMARIES[type]?.(data, directory) ?? type;
  return data?.replayed ? t("format.replayed", { line }) : line;
}
