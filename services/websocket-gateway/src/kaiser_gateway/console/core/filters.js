/** Which events a reader wants, as the gateway's WebSocket filters mean it; pure. */

export const EVENT_TYPES = [
  "sensor_data",
  "actuator_status",
  "actuator_response",
  "actuator_alert",
  "esp_health",
  "config_response",
  "zone_assignment",
  "logic_execution",
  "system_event",
  "factory_module",
  "factory_order",
  "factory_stock",
  "factory_command",
  "factory_environment",
  "factory_replay",
  "alarm",
];

const LONGEST = 256;

/** Whether # stands alone at the end only, and + alone in its level (MQTT 5, §4.7). */
export function isTopicFilter(text) {
  const levels = text.split("/");
  return (
    text.length > 0 &&
    text.length <= LONGEST &&
    levels.every((level) => level === "+" || level === "#" || !/[+#]/.test(level)) &&
    !levels.slice(0, -1).includes("#")
  );
}

/** MQTT's matching of a topic filter; an event without a topic matches none. */
export function topicMatches(topicFilter, topic) {
  if (!topic) return false;
  const wanted = topicFilter.split("/");
  const levels = topic.split("/");
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length || (level !== "+" && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

const MOST_IDS = 20;

/** Whether the id or the name of a device contains a text, in any case. */
export const isCalled = (text, espId, name) => `${espId ?? ""} ${name ?? ""}`.toLowerCase().includes(text.toLowerCase());

/** The ids of the devices that a text fits, for the server; none, which means all, if there are too many. */
export function idsOf(text, devices) {
  if (!text || devices.has(text)) return text ? [text] : [];
  const found = [...devices.values()].filter((one) => isCalled(text, one.esp_id, one.name)).map((one) => one.esp_id);
  if (!found.length) return [text];
  return found.length > MOST_IDS ? [] : found;
}

/** Whether an event passes every list of {types, esp_ids, topics}; an empty list means all. */
export function admits(filters, event) {
  const { types = [], esp_ids: espIds = [], topics = [] } = filters;
  return (
    (types.length === 0 || types.includes(event.type)) &&
    (espIds.length === 0 || espIds.includes(event.data.esp_id)) &&
    (topics.length === 0 || topics.some((topic) => topicMatches(topic, event.data.topic)))
  );
}
