/** The messages of a device both ways, and its rejected ones, in one list; pure. */

const MOST_KEPT = 500;

/** The messages known so far with those that came since; the newest ones alone. */
export const withNewer = (known, newer) => (newer.length ? [...known, ...newer].slice(-MOST_KEPT) : known);

/**
 * One list, the newest in front: [{key, at, direction, verdict, topic, payload, encoding, reason, kind, code, field, qos, retained,
 * size, cut, seq}]. `seq` is the number in REJECTED, null for what is not there. A message that is rejected is in both
 * lists: it is shown once, as it stands in REJECTED.
 */
export function inOneList(passed, rejected) {
  const place = ({ topic, at }) => JSON.stringify([topic, at]);
  const stored = rejected.map((item) => ({
    key: `r${item.seq}`, at: item.received_at, direction: item.topic.startsWith("kaiser/") ? "came" : "inside",
    verdict: "rejected", topic: item.topic, payload: item.payload, encoding: item.encoding, reason: item.message, kind: null,
    code: item.code, field: item.field, seq: item.seq,
  }));
  const known = new Set(stored.map(place));
  const others = passed.filter((one) => one.verdict !== "rejected" || !known.has(place(one)))
    .map((one) => ({ ...one, key: `p${one.seq}`, seq: null }));
  return [...stored, ...others].sort((one, other) => other.at - one.at || other.key.localeCompare(one.key));
}

/** The kind of badge of each verdict. */
export const VERDICTS = { accepted: "good", rejected: "bad", ignored: "idle", sent: "info", withheld: "warn" };

/** Whether a message fits what a person looks for: a direction ("" for both), and a text in topic, payload or reason. */
export function isWanted({ direction, verdict, topic, payload, reason, code }, { way, text }) {
  if (way === "rejected" ? verdict !== "rejected" : way && direction !== way) return false;
  return `${topic} ${payload} ${reason ?? ""} ${code ?? ""}`.toLowerCase().includes(text.toLowerCase());
}
