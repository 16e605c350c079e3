/** What the message centre's page has: fed by its WebSocket while the page is open, drawn at most once a frame. */

import { openFrames } from "../core/frames.js";
import { after, nothing } from "../core/message_list.js";
import { openMessageSocket } from "../core/message_socket.js";
import { useApp, useEffect, useMemo, useState } from "../ui/html.js";

/** {state, paused, meanwhile, toggle, phase, reason}: `state` stands still while it is paused. */
export function useMessages({ priority, filter }) {
  const { session, api } = useApp();
  const [view, setView] = useState({ state: nothing(), frozen: null, meanwhile: 0 });
  const [connection, setConnection] = useState({ phase: "connecting", reason: "" });

  const source = useMemo(() => {
    const frames = openFrames();
    let state = nothing();
    let frozen = null;
    let meanwhile = 0;
    const show = () => setView({ state: frozen ?? state, paused: frozen !== null, meanwhile });
    const socket = openMessageSocket({
      session,
      api,
      placeOf: () => ({ seq: state.seq, epoch: state.epoch }),
      onPhase: setConnection,
      onFrame(frame) {
        if (frame.type === "opened" && !frame.resumed) frozen = null; // what was paused is void
        if (frozen && frame.type === "messages") meanwhile += frame.items.length;
        state = after(state, frame, Date.now());
        frames.schedule(show);
      },
    });
    return {
      socket,
      toggle() {
        frozen = frozen ? null : state;
        meanwhile = 0;
        show();
      },
    };
  }, []);

  useEffect(() => source.socket.open({ priority, filter }), [priority, filter]);
  useEffect(() => source.socket.close, []);
  return { ...view, ...connection, toggle: source.toggle };
}
