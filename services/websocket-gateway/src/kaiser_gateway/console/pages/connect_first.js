/** Waits for the first message of a device, and says what came of it. */

import { path } from "../core/api.js";
import { sensorValue } from "../core/format.js";
import { dateTime } from "../core/times.js";
import { sensorPage } from "../core/overview.js";
import { adviceFor } from "../core/advice.js";
import { standOf } from "../core/waiting.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded } from "../ui/hooks.js";
import { Badge, Facts, ProblemNotice, Rejection } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { when } from "../ui/time.js";
import { t, tx } from "../core/texts.js";

const LOOK_EVERY_MS = 1000;
const NEWEST = 50;
const CLOCKS_DIFFER_MS = 5000;

export function FirstMessage({ espId }) {
  const { api } = useApp();
  const [sinceMs] = useState(() => Date.now() - CLOCKS_DIFFER_MS);
  const loaded = useLoaded(async () => {
    const [readings, rejected, device] = await Promise.all([
      api.get("/api/v1/sensors/latest", { esp_id: espId }),
      api.get("/api/v1/rejected", { limit: NEWEST }),
      api.get(path`/api/v1/esp/devices/${espId}`),
    ]);
    return { espId, readings: readings.items, rejected: rejected.items, device };
  }, [espId]);
  useEvery(LOOK_EVERY_MS, loaded.reload);
  useEvents((batch) => batch.some(({ data }) => data.esp_id === espId) && loaded.reloadSoon());
  const stand = loaded.data ? standOf(loaded.data, sinceMs) : { state: "waiting" };
  return html`
    <${ProblemNotice} problem=${loaded.problem} />
    <div role="status" aria-live="polite">${SHOWN[stand.state](stand)}</div>`;
}

const SHOWN = {
  waiting: () => html`
    <p><${Badge} kind="idle">${t("common.waiting")}<//> ${t("connect_first.for_the_first_message")}</p>
    <p class="quiet">${t("connect_first.if_nothing_comes_look_at")}</p>`,
  seen: () => html`<p><${Badge} kind="info">${t("common.online")}<//> ${t("connect_first.a_heartbeat_came_waiting_for")}</p>`,
  stored: ({ reading }) => html`
    <p><${Badge} kind="good">${t("connect_first.stored")}<//> <strong>${sensorValue(reading)}</strong>
      ${t("connect_first.of_on_gpio", { sensor_type: reading.sensor_type, gpio: reading.gpio, ts: dateTime(reading.ts) })}
      <a href=${link(...sensorPage(reading))}>${t("connect_first.give_it_a_name")}</a></p>`,
  rejected: ({ rejected }) => html`
    <p><${Badge} kind="bad">${t("common.rejected_2")}<//> <strong><${Rejection} code=${rejected.code} field=${rejected.field} text=${rejected.message} /></strong> <span class="quiet">${tx("common.code", { code: rejected.code })}</span></p>
    <p>${adviceFor(rejected.code)}</p>
    <${Facts} facts=${[
      [t("common.topic"), html`<span class="topic">${rejected.topic}</span>`],
      [t("common.field"), rejected.field],
      [t("common.received"), when(rejected.received_at)],
    ]} />
    <pre tabindex="0" aria-label=${t("connect_first.the_rejected_payload")}>${rejected.payload}</pre>`,
};
