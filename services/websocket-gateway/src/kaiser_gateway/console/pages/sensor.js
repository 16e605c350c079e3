/** One sensor: its history with the live tail, and its settings. */

import { ago, sensorValue } from "../core/format.js";
import { Chart } from "../ui/chart.js";
import { html, useApp, useEffect, useMemo, useState } from "../ui/html.js";
import { useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { Facts, Head, Panel, ProblemNotice } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { QualityBadge } from "./quality.js";
import { SensorSettings } from "./sensor_settings.js";

const MINUTE_MS = 60_000;
const SPANS = [
  ["15 min", 15 * MINUTE_MS],
  ["1 h", 60 * MINUTE_MS],
  ["6 h", 360 * MINUTE_MS],
  ["1 day", 1440 * MINUTE_MS],
  ["7 days", 7 * 1440 * MINUTE_MS],
  ["30 days", 30 * 1440 * MINUTE_MS],
];
const POINTS = 300;
const RAW_UP_TO_MS = 60 * MINUTE_MS;
const MOST_RAW = 10_000;
const MOST_LIVE = 2000;
const NAMES = ["value"];
const SHORTEST_MS = 1000;

export function SensorPage({ espId, gpio, sensorType, address }) {
  const { api, session } = useApp();
  const [range, setRange] = useState({ spanMs: SPANS[1][1], toMs: null });
  const [live, setLive] = useState([]);
  const loaded = useLoaded(
    () => history(api, { espId, gpio, sensorType, address }, range),
    [espId, gpio, sensorType, address, range.spanMs, range.toMs],
  );
  const stored = useLoaded(async () => {
    const { items } = await api.get("/api/v1/sensors/latest", { esp_id: espId, address });
    const isThis = (one) => one.gpio === gpio && one.sensor_type === sensorType && one.address === address;
    return items.find(isThis) ?? null;
  }, [espId, gpio, sensorType, address]);
  const now = useNow();

  useEffect(() => setLive([]), [loaded.data]);
  useEvents((batch) => {
    const mine = batch.filter(({ type, data }) =>
      type === "sensor_data" && data.esp_id === espId && data.gpio === gpio && data.sensor_type === sensorType
        && (data.address ?? "") === address);
    if (mine.length) setLive((old) => [...old, ...mine.map(({ data }) => data)].slice(-MOST_LIVE));
  });

  const columns = useMemo(() => columnsOf(loaded.data ?? [], range.toMs ? [] : live, range), [loaded.data, live, range]);
  const newest = live.at(-1) ?? stored.data;
  return html`
    <${Head} title=${`${sensorType} on gpio ${gpio}${address && ` at ${address}`}`}><a href=${link("sensors")}>All sensors</a><//>
    <${Facts} facts=${[
      ["Device", html`<a href=${link("devices", espId)}>${espId}</a>`],
      ["Value", newest ? html`<strong class="now">${sensorValue(newest)}</strong>` : "no reading yet"],
      ["Quality", newest && html`<${QualityBadge} quality=${newest.quality} />`],
      ["Taken", newest && ago(newest.ts, now)],
    ]} />
    <${Panel} title="History">
      <${RangeButtons} range=${range} onChange=${setRange} />
      <${ProblemNotice} problem=${loaded.problem} onRetry=${loaded.reload} />
      <${Chart} label=${`Values of ${sensorType} on gpio ${gpio} of ${espId}`} unit=${newest?.unit ?? ""} names=${NAMES}
        columns=${columns} onZoom=${(fromMs, toMs) => setRange({ spanMs: Math.max(SHORTEST_MS, toMs - fromMs), toMs })} />
    <//>
    ${session.may("operator") && html`
      <${SensorSettings} espId=${espId} gpio=${gpio} sensorType=${sensorType} address=${address} />`}`;
}

/** Every zoom can be had without a mouse, too. `toMs` null: up to now, and live. */
function RangeButtons({ range, onChange }) {
  const endMs = range.toMs ?? Date.now();
  const move = (factor) => onChange({ ...range, toMs: Math.min(Date.now(), Math.round(endMs + factor * range.spanMs)) });
  const zoom = (factor) => onChange({ ...range, spanMs: Math.max(SHORTEST_MS, Math.round(range.spanMs * factor)) });
  return html`
    <div class="buttons" role="group" aria-label="Time shown">
      ${SPANS.map(([text, spanMs]) => html`
        <button type="button" key=${text} aria-pressed=${String(!range.toMs && range.spanMs === spanMs)}
          onClick=${() => onChange({ spanMs, toMs: null })}>${text}</button>`)}
      <button type="button" aria-label="Earlier" onClick=${() => move(-0.5)}>◀</button>
      <button type="button" aria-label="Later" onClick=${() => move(0.5)}>▶</button>
      <button type="button" aria-label="Zoom in" onClick=${() => zoom(0.5)}>+</button>
      <button type="button" aria-label="Zoom out" onClick=${() => zoom(2)}>−</button>
    </div>`;
}

/** [time in ms, value] pairs: the readings themselves of up to an hour, averages of more. */
async function history(api, { espId, gpio, sensorType, address }, { spanMs, toMs }) {
  const to = toMs ?? Date.now() + MINUTE_MS;
  const from = Math.max(0, to - spanMs - (toMs ? 0 : MINUTE_MS));
  const query = { esp_id: espId, gpio, sensor_type: sensorType, address, from, to };
  if (spanMs <= RAW_UP_TO_MS) {
    const { items } = await api.get("/api/v1/sensors/data", { ...query, limit: MOST_RAW });
    return items.map(({ ts, value, raw }) => [ts, value ?? raw]);
  }
  const bucketS = Math.ceil(spanMs / 1000 / POINTS / 60) * 60;
  const { items } = await api.get("/api/v1/sensors/data", { ...query, bucket: `${bucketS}s` });
  return items.map(({ ts, avg }) => [ts, avg]);
}

/** What the chart takes: history, then live readings that are newer; times in s, only those in the range. */
function columnsOf(stored, live, { spanMs, toMs }) {
  const last = stored.findLast(([, value]) => value !== null)?.[0] ?? 0;
  const tail = live.filter(({ ts }) => ts > last).map(({ ts, value, raw }) => [ts, value ?? raw]);
  const points = [...stored.filter(([ts]) => ts <= last), ...tail].sort(([one], [other]) => one - other);
  const fromMs = (toMs ?? points.at(-1)?.[0] ?? 0) - spanMs;
  const inRange = points.filter(([ts]) => ts >= fromMs);
  return [inRange.map(([ts]) => ts / 1000), inRange.map(([, value]) => value)];
}
