/** What came from a device that is being connected: its first reading, or why its message was rejected; pure. */

/**
 * {state: "waiting" | "seen" | "stored" | "rejected", reading?, rejected?}. `readings`: newest of the device; `rejected`:
 * the newest rejected messages of anybody; `device`: as the registry has it, null for none; `sinceMs`: when the wait began.
 */
export function standOf({ espId, readings, rejected, device }, sinceMs) {
  const came = ({ received_at: at, ts }) => (at ?? ts) >= sinceMs;
  const reading = readings.find(came);
  const refused = rejected.filter(came).filter((one) => isOf(one, espId));
  const newest = refused[0] ?? null;
  if (reading && (!newest || (reading.received_at ?? reading.ts) >= newest.received_at)) return { state: "stored", reading };
  if (newest) return { state: "rejected", rejected: newest };
  if (device?.last_seen >= sinceMs) return { state: "seen" };
  return { state: "waiting" };
}

/** Of the device, or so nearly that it may be meant: an id misspelt, in another case, or in a topic that is none. */
function isOf({ esp_id: named, topic, payload }, espId) {
  if (named === espId) return true;
  const digits = espId.replace(/^[A-Z]+_/, "").toLowerCase();
  const said = `${named ?? ""} ${topic} ${payload}`.toLowerCase();
  return said.includes(digits);
}
