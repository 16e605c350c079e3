/** The factory's environment in force: read at first and whenever an event reports another. */

import { Problem } from "./api.js";
import { inOrder } from "./in_order.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";

const AT_MOST_EVERY_MS = 1000;

/** `current` holds {env, kind, …}; null where Kaiser runs without a factory, or it is not known yet. */
export function openEnvironment({ api, feed }) {
  const current = store(null);
  const ask = inOrder(() => api.get("/api/v1/factory/environment"), current.set);

  async function reload() {
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404) current.set(null); // what was known stays while a service is down
    }
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => batch.some(({ type }) => type === "factory_environment") && reloadSoon());
  return { current, reload };
}
