/** The banner that says that the connection is lost, and the notice when it is back. */

import { html, useApp, useEffect, useRef } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";

export function ConnectionBanner() {
  const { socket, toasts } = useApp();
  const { phase, reason, missed } = useStore(socket.state);
  const wasLost = useRef(false);

  useEffect(() => {
    if (phase === "connecting" && reason) wasLost.current = true;
    if (phase !== "open" || !wasLost.current) return;
    wasLost.current = false;
    if (missed) toasts.say(`Connected again; ${missed} events are no longer kept and were missed.`, "warn");
    else toasts.say("Connected again, nothing was missed.");
  }, [phase, reason, missed]);

  if (phase === "connecting" && reason) {
    return html`<div class="banner banner-warn" role="alert">Connection lost. Connecting again…</div>`;
  }
  if (phase === "refused") {
    return html`
      <div class="banner banner-bad" role="alert">
        No live events: ${reason}. <button type="button" onClick=${socket.open}>Connect again</button>
      </div>`;
  }
  return null;
}
