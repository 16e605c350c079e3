/** The message centre without a page: topics with their last message, the newest messages, and their texts; pure. */

import { t } from "./texts.js";

export const KEPT = 1000;
const FRESH_MS = 5000;
const RECENT_MS = 60_000;
const OLD_MS = 600_000;
const SHOWN_CHARACTERS = 300;

/** What a page has before its first frame. */
export const nothing = () => ({
  env: null, kind: null, epoch: null, seq: 0, isReady: false, complete: true, conflated: 0, clockMs: 0,
  topics: new Map(), items: [],
});

/**
 * The state after a frame of the WebSocket; `nowMs` is the browser's clock. A frame `opened` that does not resume makes
 * all before it void: another environment, or a gap too long.
 */
export function after(state, frame, nowMs) {
  if (frame.type === "opened") {
    const of = { env: frame.env, kind: frame.kind, epoch: frame.epoch, isReady: false, clockMs: frame.now - nowMs };
    return frame.resumed ? { ...state, ...of } : { ...nothing(), ...of };
  }
  if (frame.type === "ready") {
    return { ...state, isReady: true, complete: frame.complete, seq: Math.max(state.seq, frame.seq) };
  }
  if (frame.type === "conflated") return { ...state, conflated: state.conflated + frame.count };
  return frame.type === "messages" ? withMessages(state, frame, nowMs) : state;
}

function withMessages(state, { items, snapshot, now }, nowMs) {
  const topics = new Map(state.topics);
  let seq = state.seq;
  for (const item of items) {
    const known = topics.get(item.topic);
    if (!known || known.seq <= item.seq) topics.set(item.topic, item);
    seq = Math.max(seq, item.seq);
  }
  const fresh = snapshot ? items : items.filter((item) => item.seq > state.seq);
  const newest = fresh.slice(-KEPT).reverse();
  return { ...state, topics, seq, clockMs: now - nowMs, items: [...newest, ...state.items].slice(0, KEPT) };
}

/** How old a message is: [a class of age, for its colour, and how it reads aloud]. */
export function age(receivedMs, nowMs) {
  const old = nowMs - receivedMs;
  if (old < FRESH_MS) return "fresh";
  if (old < RECENT_MS) return "recent";
  return old < OLD_MS ? "older" : "stale";
}

/** Topics as the rows of a tree, of which those below a closed branch are left out; branches have how many they hold. */
export function treeOf(topics, closed) {
  const root = { name: "", path: "", children: new Map(), item: null };
  for (const item of topics) {
    let branch = root;
    for (const [depth, level] of item.topic.split("/").entries()) {
      const path = depth === 0 ? level : `${branch.path}/${level}`;
      if (!branch.children.has(level)) branch.children.set(level, { name: level, path, children: new Map(), item: null });
      branch = branch.children.get(level);
    }
    branch.item = item;
  }
  const rows = [];
  addRows(root, -1, new Set(closed), rows);
  return rows;
}

function addRows(branch, depth, closed, rows) {
  let at = rows.length;
  if (depth >= 0) {
    const isClosed = closed.has(branch.path);
    const { name, path, item } = branch;
    rows.push({ name: name === "" ? t("message_list.empty_level") : name, path, depth, item, isBranch: branch.children.size > 0, isClosed, topics: 0 });
  }
  let count = branch.item ? 1 : 0;
  const hidden = depth >= 0 && closed.has(branch.path);
  const below = hidden ? [] : rows;
  for (const [, child] of [...branch.children].sort(([one], [other]) => (one < other ? -1 : 1))) {
    count += addRows(child, depth + 1, closed, below);
  }
  if (depth >= 0) rows[at].topics = count;
  return count;
}

/** Whether a search, in any case, is in the topic or in the payload. */
export function has(item, search) {
  if (!search) return true;
  const wanted = search.toLowerCase();
  return item.topic.toLowerCase().includes(wanted) || (item.payload ?? "").toLowerCase().includes(wanted);
}

/** A payload in one line. */
export function brief(item) {
  if (item.payload === "") return t("message_list.empty");
  if (item.payload) return item.payload.slice(0, SHOWN_CHARACTERS).replace(/\s+/g, " ");
  return item.payload_base64 ? t("message_list.no_text_bytes", { n: item.size }) : t("message_list.bytes_not_shown_here", { n: item.size });
}

/** The verdict of ingest in words. */
export function verdictOf({ verdict, kind, reason, code }) {
  if (verdict === "reject") return t("message_list.rejected", { code });
  return verdict === "accept" ? kind : t("message_list.ignored", { reason });
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A command line that publishes a message as it came; never retained. Bytes that are no text go in by base64. */
export function mosquittoPub({ topic, payload, payload_base64: encoded, qos }) {
  const to = `mosquitto_pub -h BROKER -q ${qos} -t ${quoted(topic)}`;
  if (encoded) return `echo ${quoted(encoded)} | base64 -d | ${to} -s`;
  return payload === "" ? `${to} -n` : `${to} -m ${quoted(payload ?? "")}`;
}

/** Messages, oldest first, as the lines of a recording in Kaiser's form. */
export function recordingOf(messages, env) {
  const meta = { _kind: "session_meta", format: "kaiser-session/1", sessionName: `messages of ${env}` };
  const lines = messages.map(({ topic, payload, payload_base64: encoded, received_at: at, qos, retained, seq }) => ({
    topic,
    ...(encoded ? { payload_base64: encoded } : { payload: payload ?? "" }),
    timestamp: new Date(at).toISOString().replace("Z", "000Z"),
    qos,
    retain: retained,
    seq,
  }));
  return [meta, ...lines].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** What is wrong with a topic filter, as a hint; an empty text is no fault. */
export function filterFault(text) {
  if (text === "") return "";
  if (text.includes("*")) return t("message_list.a_broker_takes_literally_use");
  const levels = text.split("/");
  if (levels.some((level, at) => level.includes("#") && (level !== "#" || at < levels.length - 1))) {
    return "# stands alone in the last level.";
  }
  return levels.some((level) => level.includes("+") && level !== "+") ? t("message_list.stands_alone_in_its_level") : "";
}
