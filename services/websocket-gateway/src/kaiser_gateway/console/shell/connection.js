/** The banner that says that the connection is lost, and the notice when it is back. */

import { html, useApp, useEffect, useRef } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";
import { t, tx } from "../core/texts.js";

export function ConnectionBanner() {
  const { socket, toasts } = useApp();
  const { phase, reason, missed } = useStore(socket.state);
  const wasLost = useRef(false);

  useEffect(() => {
    if (phase === "connecting" && reason) wasLost.current = true;
    if (phase !== "open" || !wasLost.current) return;
    wasLost.current = false;
    if (missed) toasts.say(t("connection.missed", { n: missed }), "warn");
    else toasts.say(t("connection.connected_again_nothing_was_missed"));
  }, [phase, reason, missed]);

  if (phase === "connecting" && reason) {
    return html`<div class="banner banner-warn" role="alert">${t("connection.connection_lost_connecting_again")}</div>`;
  }
  if (phase === "refused") {
    return html`
      <div class="banner banner-bad" role="alert">
        ${tx("connection.no_live_events", { reason })} <button type="button" onClick=${socket.open}>${t("connection.connect_again")}</button>
      </div>`;
  }
  return null;
}
