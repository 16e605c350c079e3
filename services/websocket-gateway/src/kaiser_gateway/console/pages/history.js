/** The history of one sensor as a chart: the time that was chosen, with the live tail where it ends now. */

import { number } from "../core/format.js";
import { columnsOf, edges, extremes, ofBuckets, ofReadings, rangeOf, withLive, within } from "../core/series.js";
import { Chart } from "../ui/chart.js";
import { html, useApp, useMemo, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { ProblemNotice } from "../ui/parts.js";
import { RangeButtons, SPANS } from "./range.js";
import { t } from "../core/texts.js";

const POINTS = 300;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const MOST_RAW = 10_000;
const LOOK_AGAIN_EVERY_MS = 60_000;
const MOVES_EVERY_MS = 1000;
const MOST_RANGES = 50;
const NOTHING = { bucketMs: 0, points: [], askedMs: 0 };

/** `sensor`: {esp_id, gpio, sensor_type, address}. `intervalMs`: its usual time between two readings, null: unknown. */
export function History({ sensor, unit, intervalMs, label }) {
  const { api } = useApp();
  const [ranges, setRanges] = useState([{ spanMs: SPANS[1][1], toMs: null }]);
  const range = ranges.at(-1);
  const [live, setLive] = useState([]);
  const key = JSON.stringify(sensor);
  const loaded = useLoaded(async () => ({ askedMs: Date.now(), ...(await historyOf(api, sensor, range)) }), [key, range.spanMs, range.toMs]);
  const now = useNow(MOVES_EVERY_MS);
  useEvery(LOOK_AGAIN_EVERY_MS, () => range.toMs === null && loaded.reload());

  const { bucketMs, points, askedMs } = loaded.data ?? NOTHING;
  useEvents((batch) => {
    const atMs = Date.now();
    const mine = batch.filter(({ type, data }) => type === "sensor_data" && isOf(sensor, data)).map(({ data }) => ({ ...data, atMs }));
    if (mine.length) setLive((old) => [...old.filter((one) => one.atMs > askedMs - MINUTE_MS), ...mine].slice(-MOST_RAW));
  });

  const choose = (next) => setRanges((old) => [...old, next].slice(-MOST_RANGES));
  const back = () => setRanges((old) => (old.length > 1 ? old.slice(0, -1) : old));
  const shown = edges(range, now);
  const found = useMemo(() => {
    // a reading that is in the answer too is recognised by its time; in a bucket it would count twice
    const newer = live.filter(({ atMs }) => bucketMs === 0 || atMs >= askedMs);
    const all = range.toMs === null ? withLive(points, ofReadings(newer), bucketMs) : points;
    return within(all, ...shown, bucketMs);
  }, [points, live, ...shown]);
  const lines = useMemo(
    () => [{ name: t("history.value"), unit, columns: columnsOf(found, intervalMs, bucketMs) }], [found, unit, intervalMs]);

  return html`
    <${RangeButtons} range=${range} onChange=${choose} onBack=${ranges.length > 1 ? back : null} />
    <${ProblemNotice} problem=${loaded.problem} onRetry=${loaded.reload} />
    <${Chart} label=${label} lines=${lines} shown=${shown} words=${inWords(found, unit)} onBack=${back}
      onZoom=${(fromMs, toMs) => choose(rangeOf(fromMs, toMs, Date.now()))} />`;
}

export const isOf = (sensor, data) =>
  data.esp_id === sensor.esp_id && data.gpio === sensor.gpio && data.sensor_type === sensor.sensor_type
    && (data.address ?? "") === sensor.address;

/** {bucketMs, points}: the readings themselves where they are few enough (bucketMs 0), else buckets. */
export async function historyOf(api, { esp_id, gpio, sensor_type, address }, range) {
  const [fromMs, toMs] = edges(range, Date.now() + (range.toMs === null ? MINUTE_MS : 0)).map(Math.round);
  const query = { esp_id, gpio, sensor_type, address, from: Math.max(0, fromMs), to: Math.max(1, toMs) };
  if (range.spanMs <= HOUR_MS) {
    const { items, next_cursor: more } = await api.get("/api/v1/sensors/data", { ...query, limit: MOST_RAW });
    if (!more) return { bucketMs: 0, points: ofReadings(items) };
  }
  const seconds = Math.ceil(range.spanMs / 1000 / POINTS);
  const bucketS = range.spanMs <= HOUR_MS ? seconds : Math.ceil(seconds / 60) * 60;
  const { items } = await api.get("/api/v1/sensors/data", { ...query, bucket: `${bucketS}s` });
  return { bucketMs: bucketS * 1000, points: ofBuckets(items) };
}

export function inWords(points, unit = "") {
  const found = extremes(points);
  if (!found) return t("history.no_figures_in_this_time");
  const text = (value) => `${number(value)} ${unit}`.trim();
  return t("history.lowest", { it: t("common.points", { n: found.count }), lowest: text(found.lowest) })
    + t("history.highest_last", { highest: text(found.highest), last: text(found.last) });
}
