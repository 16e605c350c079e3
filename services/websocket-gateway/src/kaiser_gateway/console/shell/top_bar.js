/** The head of the console: its name, the state of the connection, the emergency stop, who is signed in. */

import { html, useApp } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { AlarmBadge } from "./alarms.js";
import { StopButton } from "./emergency.js";
import { EnvironmentBadge, headClass } from "./environment.js";
import { THEMES } from "./theme.js";

const PHASES = {
  open: ["good", "live"],
  connecting: ["warn", "connecting"],
  refused: ["bad", "stopped"],
  closed: ["idle", "not connected"],
};

export function TopBar() {
  const { api, environment, session, socket, sound, theme } = useApp();
  const { user, role } = useStore(session.current) ?? {};
  const [kind, text] = PHASES[useStore(socket.state).phase];
  const chosen = useStore(theme.current);
  const isLoud = useStore(sound.current) === "on";
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
      <details class="account">
        <summary aria-label=${`Account: ${user}`}><span class="account-name">${user}</span> ⋮</summary>
        <div class="account-menu">
          <p>Signed in as <strong>${user}</strong>, ${role}</p>
          <button type="button" onClick=${() => theme.choose(next)}>Colours: ${chosen}</button>
          <button type="button" onClick=${() => sound.choose(isLoud ? "off" : "on")}>Alarm sound: ${isLoud ? "on" : "off"}</button>
          <a href=${link("account")}>Password and sessions</a>
          <a href="/api/docs">REST documentation</a>
          <button type="button" onClick=${signOut}>Sign out</button>
        </div>
      </details>
    </header>`;
}
