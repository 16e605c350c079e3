/** What a chart over time shows: points with a mean and a band, gaps where nothing came, a range that moves; pure.

A point is {ts, mean, min, max, count, last, lastTs}, ts in ms; lastTs is the time of its last value as far as it is known:
of a stored bucket only the bucket's start is. A range is {spanMs, toMs}; toMs null: it ends now, and moves with it. */

const MISSED = 3; // intervals without a reading that make a gap
const SHORTEST_MS = 1000;

/** A point for each reading that has a figure; an event that only says that a sensor is silent has none of its own. */
export const ofReadings = (readings) =>
  readings.filter(({ quality }) => quality !== "stale")
    .map(({ ts, value, raw }) => [ts, value ?? raw])
    .filter(([, figure]) => typeof figure === "number")
    .map(([ts, figure]) => ({ ts, mean: figure, min: figure, max: figure, count: 1, last: figure, lastTs: ts }));

/** A point for each bucket in which something came. */
export const ofBuckets = (buckets) =>
  buckets.filter(({ count, avg }) => count > 0 && typeof avg === "number")
    .map(({ ts, avg, min, max, count, last }) =>
      ({ ts, mean: avg, min: min ?? avg, max: max ?? avg, count, last: last ?? avg, lastTs: ts }));

/** Stored points with newer ones behind them. With buckets each goes to its bucket, of which the last stored is one. */
export function withLive(stored, newer, bucketMs) {
  const all = [...stored];
  for (const point of newer) {
    const ts = bucketMs ? Math.floor(point.ts / bucketMs) * bucketMs : point.ts;
    const last = all.at(-1);
    if (!last || ts > last.ts) all.push({ ...point, ts });
    else if (bucketMs && ts === last.ts) all[all.length - 1] = merged(last, point);
  }
  return all;
}

function merged(bucket, point) {
  const count = bucket.count + point.count;
  const { last, lastTs } = point.lastTs >= bucket.lastTs ? point : bucket;
  return {
    ts: bucket.ts,
    mean: (bucket.mean * bucket.count + point.mean * point.count) / count,
    min: Math.min(bucket.min, point.min),
    max: Math.max(bucket.max, point.max),
    count,
    last,
    lastTs,
  };
}

/** The usual time between two points; null for fewer than three. */
export function usualInterval(points) {
  const between = points.slice(1).map(({ ts }, index) => ts - points[index].ts).sort((one, other) => one - other);
  return between.length < 2 ? null : between[Math.floor(between.length / 2)];
}

/** The points of a time, which is [fromMs, toMs]; the one before it leads into it. */
export const within = (points, fromMs, toMs, bucketMs = 0) =>
  points.filter(({ ts }) => ts + bucketMs >= fromMs && ts <= toMs);

/**
 * [times in s, means, lowest, highest], with a null between two points where nothing came for three intervals.
 * `intervalMs`: the usual time between two readings of the sensor, where it is known; the usual one between these points
 * counts where it is shorter.
 */
export function columnsOf(points, intervalMs, bucketMs = 0) {
  const most = MISSED * Math.min(intervalMs ?? Infinity, usualInterval(points) ?? Infinity);
  const columns = [[], [], [], []];
  const push = (ts, ...figures) => [ts / 1000, ...figures].forEach((figure, index) => columns[index].push(figure));
  points.forEach(({ ts, mean, min, max }, index) => {
    const before = points[index - 1];
    if (before && ts - before.ts - bucketMs > most) push(Math.round((before.ts + bucketMs + ts) / 2), null, null, null);
    push(ts, mean, min, max);
  });
  return columns;
}

/**
 * The places of figures that have a gap on either side: a line would not show them. undefined is no gap: there, only
 * another line of the chart has a figure.
 */
export function alone(figures) {
  const places = [...figures.keys()].filter((place) => figures[place] !== undefined);
  const isGap = (index) => (figures[places[index]] ?? null) === null;
  return places.filter((place, index) => figures[place] !== null && isGap(index - 1) && isGap(index + 1));
}

/** {lowest, highest, last, count} of points, of the values that came and not of means; null for none. */
export function extremes(points) {
  if (!points.length) return null;
  return {
    lowest: points.reduce((least, { min }) => Math.min(least, min), Infinity),
    highest: points.reduce((most, { max }) => Math.max(most, max), -Infinity),
    last: points.at(-1).last,
    count: points.length,
  };
}

/** [fromMs, toMs] of a range. */
export const edges = ({ spanMs, toMs }, nowMs) => [(toMs ?? nowMs) - spanMs, toMs ?? nowMs];

/** The range from one time to another, the earlier first; up to now it ends now, and moves with it. */
export function rangeOf(oneMs, otherMs, nowMs) {
  const [fromMs, toMs] = [Math.min(oneMs, otherMs), Math.max(oneMs, otherMs)];
  const spanMs = Math.max(SHORTEST_MS, Math.round(toMs - fromMs));
  return { spanMs, toMs: toMs >= nowMs ? null : Math.round(toMs) };
}

/** A range moved by a share of its span, and never beyond now. */
export function moved(range, share, nowMs) {
  const toMs = Math.min(nowMs, edges(range, nowMs)[1] + share * range.spanMs);
  return rangeOf(toMs - range.spanMs, toMs, nowMs);
}

/** A range with its end where it is, shorter or longer by a factor. */
export const scaled = ({ spanMs, toMs }, factor) =>
  ({ spanMs: Math.max(SHORTEST_MS, Math.round(spanMs * factor)), toMs });

/**
 * The times [fromMs, toMs] after fingers moved over a chart that showed `shown`; positions are shares of its width.
 * One finger drags it; two also stretch it: what was under each finger stays under it.
 */
export function gestured([fromMs, toMs], began, ended) {
  const span = toMs - fromMs;
  if (began.length === 1) {
    const shift = (ended[0] - began[0]) * span;
    return [fromMs - shift, toMs - shift];
  }
  const [one, other] = began.map((share) => fromMs + share * span);
  const apart = ended[1] - ended[0];
  if (Math.abs(apart) < 0.01 || apart * (began[1] - began[0]) < 0) return [fromMs, toMs];
  const stretched = (other - one) / apart;
  const start = one - ended[0] * stretched;
  return [start, start + stretched];
}
