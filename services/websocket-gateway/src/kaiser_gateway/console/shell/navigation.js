/** The pages, and the way to them. */

import { html, useApp, useEffect, useState } from "../ui/html.js";
import { link } from "../ui/route.js";
import { OverviewPage } from "../pages/overview.js";
import { Alarms } from "../pages/alarms.js";
import { LiveLog } from "../pages/live_log.js";
import { Devices } from "../pages/devices.js";
import { Sensors } from "../pages/sensors.js";
import { Actuators } from "../pages/actuators.js";
import { Explore } from "../pages/explore.js";
import { Rules } from "../pages/rules.js";
import { Mocks } from "../pages/mocks.js";
import { Rejected } from "../pages/rejected.js";
import { System } from "../pages/system.js";

/** `role`: the least role that may see the page. */
export const PAGES = [
  { name: "overview", title: "Overview", role: "viewer", Page: OverviewPage },
  { name: "alarms", title: "Alarms", role: "viewer", Page: Alarms },
  { name: "log", title: "Live log", role: "viewer", Page: LiveLog },
  { name: "devices", title: "Devices", role: "viewer", Page: Devices },
  { name: "sensors", title: "Sensors", role: "viewer", Page: Sensors },
  { name: "actuators", title: "Actuators", role: "viewer", Page: Actuators },
  { name: "explore", title: "Explore", role: "viewer", Page: Explore },
  { name: "rules", title: "Rules", role: "viewer", Page: Rules },
  { name: "mocks", title: "Mock devices", role: "operator", Page: Mocks },
  { name: "rejected", title: "Rejected", role: "operator", Page: Rejected },
  { name: "system", title: "System", role: "viewer", Page: System },
];

export function Navigation({ current }) {
  const { session } = useApp();
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [current]);
  return html`
    <nav class="navigation" aria-label="Pages">
      <button type="button" class="menu-button" aria-expanded=${String(isOpen)} aria-controls="pages"
        onClick=${() => setOpen(!isOpen)}>
        <span aria-hidden="true">☰</span> ${PAGES.find((page) => page.name === current)?.title ?? "Pages"}
      </button>
      <ul id="pages" class=${isOpen ? "open" : ""}>
        ${PAGES.filter((page) => session.may(page.role)).map((page) => html`
          <li key=${page.name}>
            <a href=${link(page.name)} aria-current=${page.name === current ? "page" : undefined}
              onClick=${() => setOpen(false)}>${page.title}</a>
          </li>`)}
      </ul>
    </nav>`;
}
