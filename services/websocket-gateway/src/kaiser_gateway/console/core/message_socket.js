/** The WebSocket of the message centre: connects while a page is open, and resumes after what the page has. */

import { randomId } from "./ids.js";
import { t } from "./texts.js";

const RATE = 1000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8000;
const PING_MS = 15_000;
const TOKEN_REFUSED = 4001;
const FORBIDDEN = 4003;
const WRONG_FILTER = 4400;

/**
 * `onFrame` gets each frame, `onPhase` {phase: "connecting"|"open"|"refused", reason}. `placeOf()` says what the page
 * has, {seq, epoch}, to resume from. `open(query)` connects with a level and filters; `close()` ends it.
 */
export function openMessageSocket({ session, api, onFrame, onPhase, placeOf }) {
  const clientId = `console-${randomId()}`;
  let socket = null;
  let query = null;
  let resumes = false;
  let pauseMs = FIRST_PAUSE_MS;
  let retry = 0;
  let heartbeat = 0;
  let heard = false;

  function connect() {
    const token = session.current.get()?.accessToken;
    if (!token || !query) return;
    const { seq, epoch } = placeOf();
    const place = resumes && seq ? { after: seq, epoch } : {};
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const asked = new URLSearchParams({ rate: RATE, priority: query.priority, ...place });
    if (query.filter) asked.append("filter", query.filter);
    onPhase({ phase: "connecting", reason: "" });
    socket = new WebSocket(`${scheme}//${location.host}/api/v1/ws/messages/${clientId}?${asked}`, ["bearer", token]);
    socket.onmessage = ({ data }) => received(JSON.parse(data));
    socket.onclose = closed;
    heard = true;
    heartbeat = setInterval(beat, PING_MS);
  }

  function received(frame) {
    heard = true;
    if (frame.type === "ready") {
      pauseMs = FIRST_PAUSE_MS;
      resumes = true;
      onPhase({ phase: "open", reason: "" });
    }
    if (frame.type !== "pong") onFrame(frame);
  }

  async function closed({ code, reason }) {
    drop();
    if (!query || !session.current.get()) return;
    const of = query;
    onPhase({ phase: "connecting", reason: reason || t("common.connection_lost") });
    const isRenewed = (code === FORBIDDEN || code === TOKEN_REFUSED) && (await renewed());
    if (query !== of) return; // meanwhile something else is looked at, or nothing
    if (code === WRONG_FILTER || (code === FORBIDDEN && !isRenewed)) {
      onPhase({ phase: "refused", reason: reason || t("common.closed_with", { code }) });
      return;
    }
    retry = setTimeout(connect, code === TOKEN_REFUSED && isRenewed ? 0 : pauseMs * (0.75 + Math.random() / 2));
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
    if (!heard) {
      socket?.close();
      closed({ code: 0, reason: t("common.no_answer") });
      return;
    }
    heard = false;
    if (socket?.readyState === WebSocket.OPEN) socket.send('{"action":"ping"}');
  }

  function drop() {
    clearInterval(heartbeat);
    clearTimeout(retry);
    if (socket) socket.onmessage = socket.onclose = null;
    socket = null;
  }

  function close() {
    query = null;
    const open = socket;
    drop();
    open?.close();
  }

  return {
    /** Look at a level and a filter from now on, from the last values. */
    open(wanted) {
      close();
      query = wanted;
      resumes = false;
      connect();
    },
    close,
  };
}
