/** The number of open alarms, read every now and then and whenever an event reports one. */

import { Problem } from "./api.js";
import { inOrder } from "./in_order.js";
import { alarmText } from "./sentences.js";
import { spaced } from "./spaced.js";
import { store } from "./store.js";
import { t } from "./texts.js";

const AT_MOST_EVERY_MS = 1000;
const BEGINS = new Set(["raised", "raised_again"]);

/** The alarms of a batch that began and that a person wants to see immediately: critical ones and warnings. */
export const begun = (batch) =>
  batch
    .filter(({ type, data }) => type === "alarm" && BEGINS.has(data.what) && data.severity !== "info" && !data.shelved_until)
    .map(({ data }) => data);

const BADGES = { info: "info", warning: "warn", error: "bad", critical: "bad" };

/** The badge for the severity of an event; null if it has none, or is of an alarm that does not begin. */
export const severityBadge = ({ type, data }) =>
  (type === "alarm" && !BEGINS.has(data.what) ? null : BADGES[data.severity] ?? null);

/** What a list of alarms without any says. Filters other than `shown` narrow it: then it knows nothing of the others. */
export function emptyText({ shown, ...others }) {
  if (Object.values(others).some(Boolean)) return t("alarms.no_alarm_fits");
  if (shown === "closed") return t("alarms.no_alarm_is_in_the_history");
  return shown === "all" ? t("alarms.there_have_been_no_alarms") : t("alarms.nothing_is_wrong_no_alarm");
}

/** The alarms of a list after a batch of events, each as its newest step has left it. Which alarms a list has, only the server
 * can say. */
export function withSteps(items, batch) {
  const since = new Map();
  for (const { type, data } of batch) {
    if (type === "alarm" && data.step > (since.get(data.alarm_id)?.step ?? 0)) since.set(data.alarm_id, data);
  }
  return items.map((alarm) => (since.get(alarm.alarm_id)?.step > alarm.step ? { ...alarm, ...since.get(alarm.alarm_id) } : alarm));
}

/** `current` holds the counts, null while unknown; `onBegun` is called with the alarms that began. */
export function openAlarms({ api, feed, onBegun }) {
  const current = store(null);
  const ask = inOrder(() => api.get("/api/v1/alarms/statistics", { days: 1 }), current.set);

  async function reload() {
    try {
      await ask();
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the System page shows that the service is down
    }
  }

  const reloadSoon = spaced(reload, AT_MOST_EVERY_MS);
  feed.on((batch) => {
    if (!batch.some(({ type }) => type === "alarm")) return;
    reloadSoon();
    const alarms = begun(batch);
    if (alarms.length > 0) onBegun(alarms);
  });
  return { current, reload };
}

/** What a toast says of alarms that began together: it names the first critical one, or else the first, with the names
 * of the directory where it has them. */
export function toastOf(alarms, directory = undefined) {
  const critical = alarms.find(({ severity }) => severity === "critical");
  const text = t("alarms.alarm", { message: alarmText(critical ?? alarms[0], directory) });
  return {
    text: alarms.length > 1 ? t("alarms.and_more", { text, it: alarms.length - 1 }) : text,
    kind: critical ? "bad" : "warn",
  };
}
