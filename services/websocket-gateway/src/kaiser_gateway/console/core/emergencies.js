/** The emergency stops in force, read every now and then and whenever an event may report one. */

import { Problem } from "./api.js";
import { inOrder } from "./in_order.js";
import { allOf } from "./list_filters.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";

const AT_MOST_EVERY_MS = 1000;
const MOST = 100;
const MOST_CLEARED = 1000; // ids that a request to clear may name, and stops of a page
const PATH = "/api/v1/actuators/emergencies";
const ABOUT_STOPS = new Set(["actuator_alert", "system_event"]);

/** Whether a device did not confirm the last clear of this stop, and no other is under way. */
const isUnconfirmed = ({ clearing, not_cleared: notCleared }) => Boolean(notCleared) && !clearing;

/** `current` holds the stops, 100 at most, `total` how many there are, and `notConfirmed` how many of those have a clear that
 * was not confirmed; the last known ones stay while the gateway does not answer. `unconfirmed` asks for all stops whose
 * clear was not confirmed, 1,000 at most. */
export function openEmergencies({ api, feed }) {
  const current = store([]);
  const total = store(0);
  const notConfirmed = store(0);

  const ask = inOrder(() => api.get(PATH, { limit: MOST }), ({ items, total: number, unconfirmed: many }) => {
    if (keyOf(items) !== keyOf(current.get())) current.set(items);
    total.set(number);
    notConfirmed.set(Math.max(many ?? 0, items.filter(isUnconfirmed).length)); // an older actuator service does not count
  });

  async function reload() {
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the System page and every command show that it is down
    }
  }

  async function unconfirmed() {
    const { items } = await allOf((cursor) => api.get(PATH, { limit: MOST_CLEARED, cursor }));
    return items.filter(isUnconfirmed).slice(0, MOST_CLEARED);
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => batch.some(({ type }) => ABOUT_STOPS.has(type)) && reloadSoon());
  return { current, total, notConfirmed, reload, unconfirmed };
}

const keyOf = (emergencies) => emergencies.map((each) => [each.emergency_id, each.clearing?.asked_at, each.not_cleared].join()).join(";");
