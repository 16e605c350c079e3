/** How many alarms want somebody, asked for now and then and whenever an event tells of one. */

import { Problem } from "./api.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";

const AT_MOST_EVERY_MS = 1000;
const BEGINS = new Set(["raised", "raised_again"]);

/** The alarms of a batch that began, of which a person wants to know at once: critical ones and warnings. */
export const begun = (batch) =>
  batch
    .filter(({ type, data }) => type === "alarm" && BEGINS.has(data.what) && data.severity !== "info" && !data.shelved_until)
    .map(({ data }) => data);

/** `current` holds the counts, null while unknown; `heard` is called with the alarms that began. */
export function openAlarms({ api, feed, heard }) {
  const current = store(null);

  async function reload() {
    try {
      current.set(await api.get("/api/v1/alarms/statistics", { days: 1 }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the System page tells that the service is down
    }
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => {
    if (!batch.some(({ type }) => type === "alarm")) return;
    reloadSoon();
    const news = begun(batch);
    if (news.length > 0) heard(news);
  });
  return { current, reload };
}

/** What a toast says of alarms that began together. */
export function toastOf(news) {
  const [first] = news;
  const text = `Alarm: ${first.message}`;
  return {
    text: news.length > 1 ? `${text} (and ${news.length - 1} more)` : text,
    kind: news.some(({ severity }) => severity === "critical") ? "bad" : "warn",
  };
}
