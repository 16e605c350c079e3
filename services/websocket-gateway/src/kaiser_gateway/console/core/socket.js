/** The WebSocket: connects, connects again with growing pauses, and resumes so that nothing kept is missed. */

import { randomId } from "./ids.js";
import { store } from "./store.js";
import { t } from "./texts.js";

const RATE = 2000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8000;
const RESUME_AGAIN_MS = 1000;
const CLOCKS_DIFFER_S = 5;
const PING_MS = 15_000;
const REMEMBERED = 50_000;
const TOKEN_REFUSED = 4001;
const FORBIDDEN = 4003;
const REPLACED = 4009;
const OVERTAKING = new Set(["actuator_alert", "system_event"]);

/**
 * `state` holds {phase: "closed"|"connecting"|"open"|"refused", reason, missed}; `onEvent` gets each event once.
 * Alerts overtake other events, so the place to resume from is that of the last event that is no alert.
 */
export function openSocket({ session, api, onEvent }) {
  const state = store({ phase: "closed", reason: "" });
  const clientId = `console-${randomId()}`;
  let socket = null;
  let filters = {};
  let last = 0;
  let resumeFrom = null;
  let firstOpenedAt = null;
  let seen = new Set();
  let pauseMs = FIRST_PAUSE_MS;
  let retry = 0;
  let heartbeat = 0;
  let isAlive = false;

  function open() {
    clearTimeout(retry);
    const token = session.current.get()?.accessToken;
    if (!token || socket) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const url = `${scheme}//${location.host}/api/v1/ws/realtime/${clientId}?rate=${RATE}`;
    state.set({ phase: "connecting", reason: state.get().reason });
    socket = new WebSocket(url, ["bearer", token]);
    socket.onopen = onOpen;
    socket.onmessage = ({ data }) => onFrame(JSON.parse(data));
    socket.onclose = onClose;
  }

  function onOpen() {
    say({ action: "subscribe", filters });
    resumeFrom = firstOpenedAt === null ? null : last;
    if (resumeFrom !== null) say({ action: "resume", after: resumeFrom });
    isAlive = true;
    heartbeat = setInterval(beat, PING_MS);
  }

  function onFrame(frame) {
    isAlive = true;
    if (frame.type === "subscribed") {
      firstOpenedAt ??= frame.timestamp;
      if (resumeFrom === null) ready(0);
    } else if (frame.type === "resumed") {
      resumed(frame.data);
    } else if (frame.type === "error") {
      if (resumeFrom !== null) retry = setTimeout(() => say({ action: "resume", after: resumeFrom }), RESUME_AGAIN_MS);
    } else if (frame.type !== "pong" && !(frame.seq && resumeFrom !== null)) {
      deliver(frame);
    }
  }

  function resumed({ from, missed }) {
    ready(resumeFrom ? missed : 0);
    last = Math.min(last, from - 1);
    resumeFrom = null;
  }

  /** What comes before `resumed` is replayed after it, in order; until then it is left out. */
  function deliver(frame) {
    if (frame.seq) {
      const identity = `${frame.seq} ${frame.timestamp}`;
      if (seen.has(identity) || frame.timestamp < firstOpenedAt - CLOCKS_DIFFER_S) return;
      remember(identity);
      if (!OVERTAKING.has(frame.type)) last = Math.max(last, frame.seq);
    }
    onEvent(frame);
  }

  /** By number and time, because the numbers of a recreated stream say nothing about the old ones. */
  function remember(identity) {
    seen.add(identity);
    if (seen.size > REMEMBERED) seen = new Set([...seen].slice(REMEMBERED / 2));
  }

  function ready(missed) {
    pauseMs = FIRST_PAUSE_MS;
    state.set({ phase: "open", reason: "", missed });
  }

  async function onClose({ code, reason }) {
    drop();
    if (!session.current.get()) return;
    if (code === REPLACED || (code === FORBIDDEN && !(await renewed()))) {  // renewed: with the user's new role
      state.set({ phase: "refused", reason: reason || t("common.closed_with", { code }) });
      return;
    }
    state.set({ phase: "connecting", reason: t("common.connection_lost") });
    retry = setTimeout(open, code === TOKEN_REFUSED && (await renewed()) ? 0 : pauseMs * (0.75 + Math.random() / 2));
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }

  async function renewed() {
    try {
      return await api.renew();
    } catch {
      return false; // no answer now: the next attempt to connect asks again
    }
  }

  /** A connection on which nothing came between two pings is dead, whatever the browser believes. */
  function beat() {
    if (!isAlive) {
      socket.close();
      onClose({ code: 0, reason: t("common.no_answer") });
      return;
    }
    isAlive = false;
    say({ action: "ping" });
  }

  function say(message) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  function drop() {
    clearInterval(heartbeat);
    clearTimeout(retry);
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    socket = null;
  }

  session.current.subscribe((signedIn) => {
    if (signedIn) {
      open();
      return;
    }
    socket?.close();
    drop();
    last = 0;
    seen = new Set();
    firstOpenedAt = null;
    state.set({ phase: "closed", reason: "" });
  });

  return {
    state,
    open,
    /** What to send from now on: see filters.js. */
    subscribe(wanted) {
      filters = wanted;
      say({ action: "subscribe", filters });
    },
  };
}
