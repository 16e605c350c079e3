/** What every page needs to name things: the overview, read when a page first names something and when names change. */

import { Problem } from "./api.js";
import { inOrder } from "./in_order.js";
import { EMPTY, toDirectory, withSentNames } from "./names.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";

const AT_MOST_EVERY_MS = 2000;
const OLD_AFTER_MS = 60_000;

/** `current` holds the directory (names.js); what was known stays while a service is down. */
export function openDirectory({ api, feed, session }) {
  const current = store(EMPTY);
  let readAt = -Infinity;
  const ask = inOrder(() => api.get("/api/v1/overview"), (overview) => {
    if (session.current.get()) current.set(toDirectory(overview));
  });

  async function reload() {
    if (!session.current.get()) return;
    readAt = Date.now();
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // names are missing: ids stand in their place
    }
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => readAt > 0 && batch.some(namesChanged) && reloadSoon());
  feed.on((batch) => {
    const named = withSentNames(current.get(), batch);
    if (named !== current.get()) current.set(named);
  });
  session.current.subscribe((signedIn) => {
    if (signedIn) return;
    readAt = -Infinity;
    current.set(EMPTY);
  });
  return {
    current,
    reload,
    /** Reads the directory again if it is older than `atMostMs`; for a page that names something or shows its values. */
    wanted: (atMostMs = OLD_AFTER_MS) => Date.now() - readAt >= atMostMs && reload(),
  };
}

const namesChanged = ({ type, data }) =>
  type === "zone_assignment" || (type === "system_event" && data.event.startsWith("device_"));
