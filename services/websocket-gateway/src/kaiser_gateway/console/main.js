/** The console's composition root: builds its parts and draws the page. */

import { openAlarms, toastOf } from "./core/alarms.js";
import { fetchSite, openApi } from "./core/api.js";
import { openDirectory } from "./core/directory.js";
import { openEmergencies } from "./core/emergencies.js";
import { openExternal } from "./core/external.js";
import { openEnvironment } from "./core/environment.js";
import { openFeed } from "./core/feed.js";
import { openFrames } from "./core/frames.js";
import { openLog } from "./core/log.js";
import { openSession } from "./core/session.js";
import { openSocket } from "./core/socket.js";
import { openTimes } from "./core/times.js";
import { openTabs } from "./core/tabs.js";
import { openSound } from "./shell/alarms.js";
import { openTheme } from "./shell/theme.js";
import { Shell } from "./shell/shell.js";
import { AppProvider, html, options, render } from "./ui/html.js";
import { holdWhilePressed } from "./ui/press.js";
import { openToasts } from "./ui/toasts.js";

const site = await fetchSite();
openTimes(site.time_zone);

const session = openSession(sessionStorage);
const tabs = openTabs(session);
const api = openApi(session, tabs);
const feed = openFeed(openFrames());
const log = openLog(feed);
const socket = openSocket({ session, api, onEvent: feed.push });
const toasts = openToasts();
const sound = openSound(localStorage);

/** Every page shows alarms that began. */
function onAlarms(begun) {
  const { text, kind } = toastOf(begun, app.directory.current.get());
  toasts.say(text, kind);
  sound.play();
}

const app = {
  site,
  external: openExternal({ api, session, storage: sessionStorage, place: location, history }),
  session,
  api,
  feed,
  log,
  socket,
  directory: openDirectory({ api, feed, session }),
  emergencies: openEmergencies({ api, feed }),
  environment: openEnvironment({ api, feed }),
  alarms: openAlarms({ api, feed, onBegun: onAlarms }),
  sound,
  toasts,
  theme: openTheme(localStorage),
};

await app.external.finish();
await tabs.greet();
socket.open();
holdWhilePressed(options);
const root = document.querySelector("#app");
root.replaceChildren();
render(html`<${AppProvider} value=${app}><${Shell} /><//>`, root);
