/** The pages, and the way to them. */

import { html, useApp, useState } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";
import { zoneName } from "../core/times.js";
import { link } from "../ui/route.js";
import { OverviewPage } from "../pages/overview.js";
import { Alarms } from "../pages/alarms.js";
import { AlarmStatistics } from "../pages/alarm_statistics.js";
import { NotificationsPage } from "../pages/notifications.js";
import { LiveLog } from "../pages/live_log.js";
import { Connect } from "../pages/connect.js";
import { Devices } from "../pages/devices.js";
import { Sensors } from "../pages/sensors.js";
import { Zones } from "../pages/zones.js";
import { Actuators } from "../pages/actuators.js";
import { Explore } from "../pages/explore.js";
import { FactoryPage } from "../pages/factory.js";
import { Orders } from "../pages/factory_orders.js";
import { Steering } from "../pages/factory_steering.js";
import { WorkpiecePage } from "../pages/factory_workpiece.js";
import { Rules } from "../pages/rules.js";
import { Messages } from "../pages/messages.js";
import { Mocks } from "../pages/mocks.js";
import { Recordings } from "../pages/recordings.js";
import { Audit } from "../pages/audit.js";
import { Users } from "../pages/users.js";
import { Account } from "../pages/account.js";
import { Inspect } from "../pages/inspect.js";
import { Rejected } from "../pages/rejected.js";
import { System } from "../pages/system.js";
import { t } from "../core/texts.js";

/**
 * `role`: the least role that may see the page. `needs`: "factory" is listed where Kaiser has one, "link" is not listed
 * at all.
 */
export const PAGES = [
  { name: "overview", title: t("common.overview"), role: "viewer", Page: OverviewPage },
  { name: "alarms", title: t("common.alarms"), role: "viewer", Page: Alarms },
  { name: "alarm-statistics", title: t("common.alarm_statistics"), role: "viewer", Page: AlarmStatistics, needs: "link" },
  { name: "notifications", title: t("common.notifications"), role: "operator", Page: NotificationsPage },
  { name: "log", title: t("common.live_log"), role: "viewer", Page: LiveLog },
  { name: "zones", title: t("common.zones"), role: "viewer", Page: Zones },
  { name: "devices", title: t("common.devices"), role: "viewer", Page: Devices },
  { name: "connect", title: t("common.connect_a_device"), role: "operator", Page: Connect, needs: "link" },
  { name: "sensors", title: t("common.sensors"), role: "viewer", Page: Sensors },
  { name: "actuators", title: t("common.actuators"), role: "viewer", Page: Actuators },
  { name: "explore", title: t("common.explore"), role: "viewer", Page: Explore },
  { name: "factory", title: t("common.factory"), role: "viewer", Page: FactoryPage, needs: "factory" },
  { name: "orders", title: t("common.orders"), role: "viewer", Page: Orders, needs: "factory" },
  { name: "steering", title: t("common.steering"), role: "operator", Page: Steering, needs: "factory" },
  { name: "workpiece", title: t("common.workpiece"), role: "viewer", Page: WorkpiecePage, needs: "link" },
  { name: "rules", title: t("common.rules"), role: "viewer", Page: Rules },
  { name: "messages", title: t("common.messages"), role: "viewer", Page: Messages },
  { name: "mocks", title: t("common.mock_devices"), role: "operator", Page: Mocks },
  { name: "recordings", title: t("common.recordings"), role: "viewer", Page: Recordings },
  { name: "audit", title: t("common.audit"), role: "operator", Page: Audit },
  { name: "rejected", title: t("common.rejected"), role: "operator", Page: Rejected },
  { name: "inspect", title: t("navigation.messages_of_a_device"), role: "operator", Page: Inspect, needs: "link" },
  { name: "users", title: t("common.users"), role: "admin", Page: Users },
  { name: "account", title: t("common.password_and_sessions"), role: "viewer", Page: Account, needs: "link" },
  { name: "system", title: t("common.system"), role: "viewer", Page: System },
];

export function Navigation({ current }) {
  const { session, environment } = useApp();
  const hasFactory = useStore(environment.current) !== null;
  const isListed = ({ role, needs }) => session.may(role) && (!needs || (needs === "factory" && hasFactory));
  const [openAt, setOpenAt] = useState(null); // on another page it is closed
  const isOpen = openAt === current;
  return html`
    <nav class="navigation" aria-label=${t("navigation.pages")}>
      <button type="button" class="menu-button" aria-expanded=${String(isOpen)} aria-controls="pages"
        onClick=${() => setOpenAt(isOpen ? null : current)}>
        <span aria-hidden="true">☰</span> ${PAGES.find((page) => page.name === current)?.title ?? t("navigation.pages")}
      </button>
      <ul id="pages" class=${isOpen ? "open" : ""}>
        ${PAGES.filter(isListed).map((page) => html`
          <li key=${page.name}>
            <a href=${link(page.name)} aria-current=${page.name === current ? "page" : undefined}
              onClick=${() => setOpenAt(null)}>${page.title}</a>
          </li>`)}
      </ul>
      <p class="quiet times">${t("navigation.times", { it: zoneName() })}</p>
    </nav>`;
}
