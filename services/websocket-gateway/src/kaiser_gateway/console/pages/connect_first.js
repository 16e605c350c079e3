/** Waits for the first message of a device, and says what came of it. */

import { path } from "../core/api.js";
import { sensorValue } from "../core/format.js";
import { dateTime } from "../core/times.js";
import { sensorPage } from "../core/overview.js";
import { adviceFor } from "../core/snippets.js";
import { standOf } from "../core/waiting.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded } from "../ui/hooks.js";
import { Badge, Facts, ProblemNotice } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { when } from "../ui/time.js";

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
    <p><${Badge} kind="idle">waiting<//> for the first message.</p>
    <p class="quiet">If nothing comes, look at the address of the broker, its user and password, and compare the topic level by
      level: a broker drops what is not one of the device's topics, and nothing of that arrives here.</p>`,
  seen: () => html`<p><${Badge} kind="info">online<//> A heartbeat came; waiting for the first reading.</p>`,
  stored: ({ reading }) => html`
    <p><${Badge} kind="good">stored<//> <strong>${sensorValue(reading)}</strong>
      ${` of ${reading.sensor_type} on gpio ${reading.gpio}, ${dateTime(reading.ts)}. `}
      <a href=${link(...sensorPage(reading))}>Give it a name</a></p>`,
  rejected: ({ rejected }) => html`
    <p><${Badge} kind="bad">rejected<//> <strong>${rejected.message}</strong> <span class="quiet">(code ${rejected.code})</span></p>
    <p>${adviceFor(rejected.code)}</p>
    <${Facts} facts=${[
      ["Topic", html`<span class="topic">${rejected.topic}</span>`],
      ["Field", rejected.field],
      ["Received", when(rejected.received_at)],
    ]} />
    <pre tabindex="0" aria-label="The rejected payload">${rejected.payload}</pre>`,
};
