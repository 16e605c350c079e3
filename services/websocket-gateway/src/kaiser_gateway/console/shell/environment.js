/** The badge of the factory's environment in the head; its kind colours the head. */

import { html, useApp, useEffect } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";
import { link } from "../ui/route.js";
import { t, word } from "../core/texts.js";

export function EnvironmentBadge() {
  const { environment, socket } = useApp();
  const found = useStore(environment.current);
  const { phase } = useStore(socket.state);
  useEffect(() => {
    if (phase === "open") environment.reload();
  }, [phase]);
  if (!found) return null;
  const text = found.env === found.kind ? word(found.kind, "environment") : `${found.env} (${word(found.kind, "environment")})`;
  return html`<a class="environment" href=${link("factory")}><span class="environment-of">${t("environment.factory")} </span>${text}<span
    class="for-screen-readers"> ${t("environment.environment")}</span></a>`;
}

/** The class of the head, by which it has its colour. */
export const headClass = (environment) => `top-bar ${environment ? `top-bar-${environment.kind}` : ""}`;
