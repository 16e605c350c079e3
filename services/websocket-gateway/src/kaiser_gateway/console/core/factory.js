/** What the factory's pages show, from what the API answers and events say; pure. */

import { orNone } from "./format.js";
import { t, word } from "./texts.js";

const STEP = { NORTH: [0, -1], EAST: [1, 0], SOUTH: [0, 1], WEST: [-1, 0] };
const MARGIN = 130;
const BESIDE = 62;
const ROWS = ["A", "B", "C"];
const COLUMNS = ["1", "2", "3"];
export const MOST_ON_SCREEN = 200;
const MOST_ELSEWHERE = 24;
const LOST = "UNKNOWN";
const LEAST_IN_A_ROW = 4;

/**
 * Where everything stands, in mm: {nodes: Map of name → {x, y, type, isModule}, roads: [{from, to}], box: [x, y, w, h]}.
 * The roads say by length and direction where their ends are; what no road reaches stands in rows below.
 */
export function placesOf({ modules, intersections, roads }) {
  const types = new Map(modules.map(({ serial, type }) => [serial, type]));
  const names = [...intersections, ...types.keys()];
  const places = new Map();
  for (const name of names) {
    if (!places.has(name) && (places.size === 0 || !roads.some((road) => road.start === name || road.end === name))) {
      places.set(name, places.size === 0 ? [0, 0] : null);
    }
    walk(name, roads, places);
  }
  const known = [...places.values()].filter(Boolean);
  const bottom = Math.max(0, ...known.map(([, y]) => y)) + 2 * MARGIN;
  const left = Math.min(0, ...known.map(([x]) => x));
  const inARow = Math.max(LEAST_IN_A_ROW, Math.floor((Math.max(0, ...known.map(([x]) => x)) - left) / (2 * MARGIN)) + 1);
  let spare = 0;
  const nextBelow = () => {
    const nth = spare++;
    return [left + 2 * MARGIN * (nth % inARow), bottom + 2 * MARGIN * Math.floor(nth / inARow)];
  };
  const nodes = new Map(names.map((name) => {
    const [x, y] = places.get(name) ?? nextBelow();
    return [name, { x, y, type: types.get(name) ?? null, isModule: types.has(name) }];
  }));
  return { nodes, roads: roads.filter(({ start, end }) => nodes.has(start) && nodes.has(end)), box: boxOf([...nodes.values()]) };
}

/** Place all that roads reach from a node whose place is known. */
function walk(first, roads, places) {
  const waiting = places.get(first) ? [first] : [];
  while (waiting.length) {
    const name = waiting.pop();
    const [x, y] = places.get(name);
    for (const { start, end, length, direction } of roads) {
      const [dx, dy] = STEP[direction] ?? [0, 0];
      const [other, sign] = start === name ? [end, 1] : end === name ? [start, -1] : [null, 0];
      if (other === null || places.get(other)) continue;
      places.set(other, [x + sign * dx * length, y + sign * dy * length]);
      waiting.push(other);
    }
  }
}

/** The layout, and the nodes that it does not know at which AGVs stand: those of VDA 5050 vehicles. */
export function withNodesOf(layout, rows) {
  const known = new Set([...layout.intersections, ...layout.modules.map(({ serial }) => serial), LOST]);
  const others = rows.filter(({ kind, node }) => kind === "agv" && node && !known.has(node)).map(({ node }) => node);
  const names = [...new Set(others)].sort().slice(0, MOST_ELSEWHERE);
  return { ...layout, intersections: [...layout.intersections, ...names] };
}

function boxOf(nodes) {
  const xs = nodes.map(({ x }) => x);
  const ys = nodes.map(({ y }) => y);
  if (!nodes.length) return [0, 0, 2 * MARGIN, 2 * MARGIN];
  const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN];
  return [left, top, Math.max(...xs) + MARGIN - left, Math.max(...ys) + MARGIN - top];
}

/** AGVs with their places on the map; those at one node stand beside each other, those that are lost are left out. */
export function agvsOn({ nodes }, rows) {
  const taken = new Map();
  return rows.filter(({ kind, node }) => kind === "agv" && nodes.has(node)).map((row) => {
    const place = nodes.get(row.node);
    const nth = taken.get(row.node) ?? 0;
    taken.set(row.node, nth + 1);
    return { row, x: place.x + nth * BESIDE, y: place.y + (place.isModule ? BESIDE : 0) };
  });
}

/**
 * Where an AGV is, in words. `types`: of modules, by serial. An AGV that has lost its place is never said to be anywhere.
 */
export function whereIs({ node, at, driving }, types) {
  const nameOf = (name) => types[name] ?? name;
  if (!node) return "–";
  if (node === LOST) return at ? t("factory.lost_from_place", { place: nameOf(at) }) : t("factory.lost");
  return driving ? t("factory.driving_from_place", { place: nameOf(at ?? node) }) : t("factory.at_place", { place: nameOf(node) });
}

/** Rows after events `factory_module`, by serial. */
export const withModules = (rows, events) => merged(rows, news(events, "factory_module"), ({ serial }) => serial);

/** Orders after events `factory_order`, newest first. */
export function withOrders(orders, events) {
  const found = merged(orders, news(events, "factory_order"), ({ order_id: id }) => id);
  return found.sort((one, other) => timeOf(other) - timeOf(one)).slice(0, Math.max(MOST_ON_SCREEN, orders.length));
}

/** Stores after events `factory_stock`. */
export const withStores = (stores, events) => merged(stores, news(events, "factory_stock"), ({ hbw }) => hbw);

/** Commands after events `factory_command`, newest first. */
export const withCommands = (commands, events) =>
  merged(commands, news(events, "factory_command"), ({ command_id: id }) => id)
    .sort((one, other) => other.queued_at - one.queued_at).slice(0, MOST_ON_SCREEN);

const news = (events, type) => events.filter((event) => event.type === type).map(({ data }) => data);

export const timeOf = (order) => order.received ?? order.requested ?? order.started ?? order.ts;

function merged(items, newer, keyOf) {
  const all = new Map(items.map((item) => [keyOf(item), item]));
  for (const item of newer) {
    if ((all.get(keyOf(item))?.ts ?? 0) <= item.ts) all.set(keyOf(item), item);
  }
  return [...all.values()].sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

/** The bays of a store in rows of three; other locations follow. */
export function gridOf({ bays }) {
  const at = new Map(bays.map((bay) => [bay.location, bay]));
  const usual = ROWS.map((row) => COLUMNS.map((column) => at.get(row + column) ?? { location: row + column }));
  const rest = bays.filter(({ location }) => !ROWS.some((row) => COLUMNS.some((column) => row + column === location)));
  return { rows: usual, rest };
}

/** "production", "storage"; another type as it is called, in lower case. */
export const orderTypeText = (type) => word(type, "order_type", orNone(type).toLowerCase());

/** What a step does, in words. */
export function stepName({ type, command, module_type: module, source, target }) {
  if (type === "NAVIGATION") return `${source ?? "?"} → ${target ?? "?"}`;
  return [module, command].filter(Boolean).join(" ") || type || "step";
}

/**
 * A timeline as a Gantt chart: {fromMs, toMs, bars: [{step, left, width, waitLeft, waitWidth, parts}]}, places in
 * percent. A step that runs ends now; one that has not begun has no bar. parts: of an AGV's way, [{command, left, width}].
 * `span`: the axis, where several share one.
 */
export function ganttOf({ order, steps }, nowMs, span = null) {
  const [fromMs, toMs] = span ?? spanOf([{ order, steps }], nowMs);
  const percent = (ms) => Math.min(100, Math.max(0, ((ms - fromMs) / Math.max(1, toMs - fromMs)) * 100));
  const bars = steps.map((step) => {
    const start = step.started ?? null;
    if (start === null) return { step, left: null, width: 0, waitLeft: 0, waitWidth: 0, parts: [] };
    const end = step.stopped ?? (order.stopped ?? Math.max(nowMs, start));
    const wait = Math.max(0, step.waiting_ms ?? 0);
    return {
      step,
      left: percent(start),
      width: Math.max(0.4, percent(end) - percent(start)),
      waitLeft: percent(start - wait),
      waitWidth: percent(start) - percent(start - wait),
      parts: (step.parts ?? []).map(({ command, started, stopped }) => (
        { command, left: percent(started), width: percent(stopped) - percent(started) })),
    };
  });
  return { fromMs, toMs, bars };
}

/** From the first start to the last end of some timelines; what runs ends now. */
export function spanOf(timelines, nowMs) {
  const starts = timelines.flatMap(({ order, steps }) => [order.started, ...steps.map(({ started }) => started)]);
  const ends = timelines.flatMap(({ order, steps }) => [
    order.stopped ?? (order.started === null ? null : nowMs), ...steps.map(({ stopped }) => stopped)]);
  const known = (values) => values.filter((value) => typeof value === "number");
  const from = Math.min(...known(starts));
  if (!Number.isFinite(from)) return [nowMs - 1000, nowMs];
  return [from, Math.max(from + 1000, ...known(ends))];
}

/** How long a step took or takes, in s; null while it has not begun. */
export const stepSeconds = ({ started, stopped }, nowMs) =>
  (started === null || started === undefined ? null : Math.max(0, ((stopped ?? nowMs) - started) / 1000));

/** Figures of modules and of AGVs, each with the type of its machine; one that is gone from `rows` counts as a module. */
export function figuresByKind(machines, rows) {
  const known = new Map(rows.map((row) => [row.serial, row]));
  const all = machines.map((one) => ({ ...one, type: known.get(one.serial)?.type ?? null, kind: known.get(one.serial)?.kind }));
  return {
    modules: all.filter(({ kind }) => kind !== "agv"),
    agvs: all.filter(({ kind }) => kind === "agv").map((one) => ({ ...one, type: one.type ?? t("common.agv") })),
  };
}

/** 0.934 → "93.4 %"; "–" for what is not known. */
export const percent = (part) => (typeof part === "number" ? `${Math.round(part * 1000) / 10} %` : "–");

/** What an AGV did on its way, in words: "PASS 2 s, DOCK 9 s"; "" where nothing is known. */
export const partsOf = ({ parts = [] }) => parts
  .map(({ command, started, stopped }) => `${command} ${Math.max(0, Math.round((stopped - started) / 1000))} s`).join(", ");

/** The sum of what an order waited between its steps, in s. */
export const waitedSeconds = (steps) => steps.reduce((sum, { waiting_ms: ms }) => sum + Math.max(0, ms ?? 0), 0) / 1000;

export const AVAILABLE = { READY: "good", BUSY: "info", BLOCKED: "bad", UNKNOWN: "idle" };
export const CONNECTED = { ONLINE: "good", OFFLINE: "bad", CONNECTIONBROKEN: "bad" };
export const ORDER = { ENQUEUED: "idle", IN_PROGRESS: "info", FINISHED: "good", ERROR: "bad", CANCELLED: "warn", UNKNOWN: "idle" };
export const JOURNAL = {
  queued: "info", sent: "info", unconfirmed: "warn", accepted: "info", finished: "good", failed: "bad", refused: "bad",
  no_answer: "warn", timed_out: "warn", expired: "warn", abandoned: "warn",
};
export const OPEN_COMMANDS = new Set(["queued", "sent", "unconfirmed", "accepted"]);
