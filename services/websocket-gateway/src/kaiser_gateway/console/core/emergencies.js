/** The emergency stops in force, read every now and then and whenever an event may report one. */

import { Problem } from "./api.js";
import { inOrder } from "./in_order.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";

const AT_MOST_EVERY_MS = 1000;
const MOST = 100;
const ABOUT_STOPS = new Set(["actuator_alert", "system_event"]);

/** `current` holds the stops, 100 at most, and `total` how many there are; the last known ones stay while the gateway does
 * not answer. */
export function openEmergencies({ api, feed }) {
  const current = store([]);
  const total = store(0);

  const ask = inOrder(() => api.get("/api/v1/actuators/emergencies", { limit: MOST }), ({ items, total: number }) => {
    if (keyOf(items) !== keyOf(current.get())) current.set(items);
    total.set(number);
  });

  async function reload() {
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the System page and every command show that it is down
    }
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => batch.some(({ type }) => ABOUT_STOPS.has(type)) && reloadSoon());
  return { current, total, reload };
}

const keyOf = (emergencies) => emergencies.map((each) => [each.emergency_id, each.clearing?.asked_at, each.not_cleared].join()).join(";");
