/** The head of the console: its name, the state of the connection, the emergency stop, who is signed in. */

import { html, useApp } from "../ui/html.js";
import { useMenu, useStore } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { AlarmBadge } from "./alarms.js";
import { StopButton } from "./emergency.js";
import { EnvironmentBadge, headClass } from "./environment.js";
import { THEMES } from "./theme.js";
import { t, tx, word } from "../core/texts.js";

const PHASES = {
  open: ["good", t("top_bar.live")],
  connecting: ["warn", t("top_bar.connecting")],
  refused: ["bad", t("common.stopped")],
  closed: ["idle", t("common.not_connected")],
};

export function TopBar() {
  const { api, environment, session, socket, sound, theme } = useApp();
  const { user, role } = useStore(session.current) ?? {};
  const [kind, text] = PHASES[useStore(socket.state).phase];
  const chosen = useStore(theme.current);
  const isLoud = useStore(sound.current) === "on";
  const menu = useMenu();
  const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];

  async function signOut() {
    const elsewhere = await api.signOut();
    if (elsewhere) location.assign(elsewhere);
  }

  return html`
    <header class=${headClass(useStore(environment.current))}>
      <a class="brand" href="#/overview">Kaiser</a>
      <${Badge} kind=${kind}>${text}<//>
      <${AlarmBadge} />
      <${EnvironmentBadge} />
      <span class="spacer"></span>
      <${StopButton} />
      <details class="account" ref=${menu}>
        <summary aria-label=${t("top_bar.account", { user })}><span class="account-name">${user}</span> ⋮</summary>
        <div class="account-menu">
          <p>${t("top_bar.signed_in_as")} <strong>${user}</strong>, ${word(role, "role")}</p>
          <button type="button" onClick=${() => theme.choose(next)}>${tx("top_bar.colours", { chosen: word(chosen) })}</button>
          <button type="button" onClick=${() => sound.choose(isLoud ? "off" : "on")}>${tx("top_bar.alarm_sound", { it: word(isLoud ? "on" : "off") })}</button>
          <a href=${link("account")}>${t("common.password_and_sessions")}</a>
          <a href="/api/docs">${t("top_bar.rest_documentation")}</a>
          <button type="button" onClick=${signOut}>${t("top_bar.sign_out")}</button>
        </div>
      </details>
    </header>`;
}
