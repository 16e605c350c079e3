/** Whether what is shown is known now; pure. */

const MISSED = 3; // intervals without a reading after which a sensor is silent, as the sensor service counts
const SEEN_WITHIN_MS = 90_000; // a device is seen by its heartbeats, every 60 s; its readings may be that much newer

/**
 * {state: "known"|"silent"|"offline", until}: of a reading as it is listed or came in an event; `until` (ms) is when its
 * value stopped being known, null while it is known. `offline`: times (ms) at which devices went offline, by device.
 */
export function knowledgeOf(reading, offline, nowMs) {
  const offlineAt = offline.get(reading.esp_id) ?? null;
  const receivedAt = Math.min(reading.received_at ?? reading.ts, nowMs);
  if (reading.state === "offline" && offlineAt !== ONLINE) return { state: "offline", until: reading.known_until };
  const silentAt = receivedAt + MISSED * (reading.interval_s ?? Infinity) * 1000;
  if (offlineAt !== null && offlineAt !== ONLINE && receivedAt <= offlineAt + SEEN_WITHIN_MS) {
    return { state: "offline", until: Math.min(silentAt, Math.max(receivedAt, offlineAt)) };
  }
  if (reading.state === "silent" || reading.quality === "stale") {
    return { state: "silent", until: reading.known_until ?? receivedAt };
  }
  return silentAt < nowMs ? { state: "silent", until: silentAt } : { state: "known", until: null };
}

/** In place of a time: the device is online again. */
export const ONLINE = 0;

/** When devices went offline by events `esp_health`; what was noted before is kept where nothing newer came. */
export function withOffline(offline, events) {
  const changes = events.filter(({ type, data }) => type === "esp_health" && data.status !== "unknown");
  if (!changes.length) return offline;
  const next = new Map(offline);
  for (const { data } of changes) next.set(data.esp_id, data.status === "online" ? ONLINE : data.last_seen ?? data.ts);
  return next;
}

/** An actuator after its report, an event `actuator_status`. */
function actuatorReported(actuator, { state, value, ts, error = null }) {
  const onSince = state ? actuator.on_since ?? ts : null;
  return {
    ...actuator, state, last_state: state, on_since: onSince, value, reported_at: ts, last_error: error, known: true, known_until: null,
  };
}

/** An actuator after its device came or went. The state of one that came back is not known before it is reported. */
function actuatorAfter(actuator, event) {
  if (event.type !== "esp_health" || event.data.esp_id !== actuator.esp_id || event.data.status === "unknown") return actuator;
  if (event.data.status === "online") return { ...actuator, known_until: null };
  const until = Math.max(event.data.last_seen ?? 0, actuator.reported_at ?? 0);
  return { ...actuator, known: false, known_until: until || null };
}

/** An actuator after a batch of events, in their order. A report says that its device is online; a replayed one says nothing
 * about now. */
export const actuatorWith = (actuator, batch) => batch.reduce((known, event) => {
  const { type, data } = event;
  if (type !== "actuator_status") return actuatorAfter(known, event);
  const isOfIt = data.esp_id === known.esp_id && data.gpio === known.gpio;
  return isOfIt && !data.replayed ? actuatorReported(known, data) : known;
}, actuator);

/** Whether events bring back the device of one of these actuators: which of its states are known since, only the server can
 * say. */
export function bringsBack(actuators, batch) {
  const came = new Set(batch.filter(({ type, data }) => type === "esp_health" && data.status === "online")
    .map(({ data }) => data.esp_id));
  return actuators.some((one) => one.known_until !== null && came.has(one.esp_id));
}
