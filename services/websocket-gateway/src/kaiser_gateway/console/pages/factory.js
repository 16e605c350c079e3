/** Factory: the map with its AGVs, every module and AGV as it is now, and the store. */

import { ago, number, orNone } from "../core/format.js";
import { dateTime } from "../core/times.js";
import { AVAILABLE, CONNECTED, whereIs, withModules, withStores } from "../core/factory.js";
import { html, useApp } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow, useStore } from "../ui/hooks.js";
import { Badge, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { FiguresPanel } from "./factory_figures.js";
import { FactoryMap } from "./factory_map.js";
import { StockGrid } from "./factory_stock.js";
import { t, tx, word } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 30_000;

export function FactoryPage() {
  const { api, environment } = useApp();
  const found = useStore(environment.current);
  const place = `${found?.env} ${found?.epoch}`;
  const loaded = useLoaded(async () => {
    const [modules, stock, layout] = await Promise.all([
      api.get("/api/v1/factory/modules"), api.get("/api/v1/factory/stock"), api.get("/api/v1/factory/layout"),
    ]);
    return { modules: modules.items, stock: stock.items, layout };
  }, [place]);
  const now = useNow();
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  useEvents((batch) => {
    const mine = batch.filter(({ data }) => data.env === undefined || data.env === found?.env);
    if (!mine.some(({ type }) => type === "factory_module" || type === "factory_stock")) return;
    loaded.setData((data) => ({
      ...data, modules: withModules(data.modules, mine), stock: withStores(data.stock, mine),
    }));
  });
  const { modules = [], stock = [], layout } = loaded.data ?? {};
  return html`
    <${Head} title=${t("common.factory")}>
      ${found && html`<span>${t("common.environment")} <strong>${found.env}</strong>${tx("factory.broker", { kind: word(found.kind, "environment"), broker: found.broker })}</span>`}
    <//>
    <${ListState} loaded=${loaded} count=${modules.length}
      empty=${t("factory.no_message_of_the_factory")} />
    ${layout && html`
      <div class="factory-top">
        <${Panel} title=${layout.fallback ? t("factory.map_default_installation_no_layout") : t("factory.map")}>
          <${FactoryMap} layout=${layout} rows=${modules} />
        <//>
        <${Panel} title=${t("factory.store")}>
          ${stock.map((one) => html`<${StockGrid} key=${one.hbw} stock=${one} />`)}
          ${!stock.length && html`<p class="quiet">${t("factory.no_stock_has_been_reported")}</p>`}
        <//>
      </div>`}
    <div class="machines">
      <${Table} label=${t("factory.modules_and_agvs")} rows=${modules} keyOf=${({ serial }) => serial} columns=${columns(now, typesOf(layout))} />
    </div>
    ${modules.length > 0 && html`<${FiguresPanel} rows=${modules} place=${place} since=${beganAt(found)} />`}`;
}

/** A mock factory and a replay begin with nothing: what was before does not count against them. */
const beganAt = (environment) => (environment && environment.kind !== "live" ? environment.since : 0);

const typesOf = (layout) => Object.fromEntries((layout?.modules ?? []).map(({ serial, type }) => [serial, type]));

const columns = (now, types) => [
  {
    name: t("common.serial"),
    cell: ({ serial, type, kind }) => html`<strong>${type ?? (kind === "agv" ? t("common.agv") : kind.toUpperCase())}</strong>
      <span class="quiet block">${serial}</span>`,
  },
  {
    name: t("factory.connection"),
    cell: ({ connection, silent, stale, paired, last_seen: seen }) => html`
      <${Badge} kind=${CONNECTED[connection] ?? "idle"}>${word(connection, "connection")}<//>
      ${silent && html`<span class="field-problem block">${t("factory.silent")}</span>`}
      ${stale && seen && html`<span class="quiet block">${t("factory.as_it_was_before_the")}</span>`}
      ${paired === false && html`<span class="quiet block">${t("factory.not_paired")}</span>`}`,
  },
  {
    name: t("common.availability"),
    cell: ({ availability, assigned }) => html`
      <${Badge} kind=${AVAILABLE[availability] ?? "idle"}>${word(availability, "availability")}<//>
      ${assigned && html`<span class="quiet block">${t("factory.assigned")}</span>`}`,
  },
  {
    name: t("common.action"),
    cell: ({ action, order_id: order }) => html`
      ${action ? `${action.command ?? "?"} ${word(action.state, "action")}` : "–"}
      ${action?.result && html`<span class="quiet block">${word(action.result, "result")}</span>`}
      ${order && html`<a class="block" href=${link("orders", order)}>${t("factory.its_order")}</a>`}`,
  },
  { name: t("factory.load"), cell: (row) => loadsOf(row) },
  { name: t("common.where"), cell: (row) => whereIs(row, types) },
  { name: t("common.battery"), cell: (row) => batteryOf(row), class: "figure" },
  {
    name: t("factory.errors"),
    cell: ({ errors }) => (errors.length
      ? errors.map(({ type, level, message }) => html`
        <span class="block" key=${type}><${Badge} kind=${level === "FATAL" ? "bad" : "warn"}>${type}<//> ${message ?? ""}</span>`)
      : "–"),
  },
  {
    name: t("common.last_message"),
    cell: ({ last_seen: seen, skew_ms: skew }) => html`
      ${ago(seen, now)}<span class="for-screen-readers"> (${dateTime(seen)})</span>
      ${Math.abs(skew ?? 0) > 2000 && html`<span class="quiet block">${tx("factory.its_clock_s_off", { it: number(-skew / 1000) })}</span>`}`,
  },
];

function loadsOf({ type, loads }) {
  if (!loads.length) return "–";
  if (type === "HBW") return t("factory.pieces", { n: loads.length });
  return loads.map(({ position, type: kind, id }) => html`
    <span class="block" key=${position}>${position ? `${position}: ` : ""}${kind} <span class="quiet">${orNone(id)}</span></span>`);
}

function batteryOf({ battery_percent: percent, battery_voltage: voltage, charging }) {
  if (percent === null || percent === undefined) return "–";
  return `${number(percent)} %, ${number(voltage)} V${charging ? t("factory.charging") : ""}`;
}
