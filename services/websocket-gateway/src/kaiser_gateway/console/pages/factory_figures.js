/** The figures of the factory over a window: OEE of each module, how AGVs spend their time, and the line as a whole. */

import { duration, number, orNone } from "../core/format.js";
import { figuresByKind, percent } from "../core/factory.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvery, useLoaded } from "../ui/hooks.js";
import { Facts, ListState, Panel } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { t } from "../core/texts.js";

const HOUR_MS = 3_600_000;
const LEAST_MS = 10_000;
const WINDOWS = [[1, t("factory_figures.the_last_hour")], [8, t("factory_figures.the_last_8_hours")], [24, t("common.the_last_day")], [7 * 24, t("factory_figures.the_last_7_days")]];
const LOOK_AGAIN_EVERY_MS = 30_000;

/** `rows`: the modules and AGVs; `place`: names the environment, with which the figures are others; `since`: its beginning. */
export function FiguresPanel({ rows, place, since }) {
  const { api } = useApp();
  const [hours, setHours] = useState(1);
  const loaded = useLoaded(() => {
    const to = Date.now();
    const from = Math.min(Math.max(to - hours * HOUR_MS, since), to - LEAST_MS);
    return api.get("/api/v1/factory/figures", { from, to });
  }, [hours, place]);
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  const { modules, agvs } = figuresByKind(loaded.data?.machines ?? [], rows);
  return html`
    <${Panel} title=${t("factory_figures.figures")}>
      <label>${t("common.of")} <select name="window" onChange=${({ currentTarget }) => setHours(Number(currentTarget.value))}>
        ${WINDOWS.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
      </select></label>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <${Facts} facts=${lineFacts(loaded.data)} />
        <${Table} label=${t("factory_figures.figures_of_modules")} rows=${modules} keyOf=${({ serial }) => serial} columns=${OF_MODULES} />
        <${Table} label=${t("factory_figures.figures_of_agvs")} rows=${agvs} keyOf=${({ serial }) => serial} columns=${OF_AGVS} />
        <p class="quiet">${t("factory_figures.oee_is_availability_performance_quality")}</p>`}
    <//>`;
}

const lineFacts = ({ orders, orders_per_hour: rate, yield_share: share, lead_ms_p50: half, lead_ms_p90: most, types }) => [
  [t("factory_figures.finished_orders"), t("factory_figures.an_hour_2", { orders, it: number(Math.round(rate * 10) / 10) })],
  [t("factory_figures.yield"), percent(share)],
  [t("factory_figures.lead_time_half_of_them"), ofMs(half)],
  [t("factory_figures.lead_time_90_of_them"), ofMs(most)],
  ...types.map((one) => [t("factory_figures.lead_time_of", { type: one.type }), `${ofMs(one.lead_ms_p50)}${planned(one)}`]),
];

const planned = ({ planned_ms: ms }) => (ms === null || ms === undefined ? "" : t("factory_figures.planned", { ms: ofMs(ms) }));

const ofMs = (ms) => duration(typeof ms === "number" ? ms / 1000 : null);

const named = {
  name: t("common.serial"),
  cell: ({ serial, type }) => html`<strong>${orNone(type)}</strong><span class="quiet block">${serial}</span>`,
};

const share = (name, field) => ({ name, cell: (row) => percent(row[field]), class: "figure" });

const OF_MODULES = [
  named,
  { name: "OEE", cell: ({ oee }) => html`<strong>${percent(oee)}</strong>`, class: "figure" },
  share(t("common.availability"), "availability"),
  share(t("factory_figures.performance"), "performance"),
  share(t("common.quality"), "quality"),
  { name: t("common.actions"), cell: ({ actions }) => actions, class: "figure" },
];

const OF_AGVS = [
  named,
  share(t("common.availability"), "availability"),
  share(t("factory_figures.driving"), "driving"),
  share(t("factory_figures.waiting_for_its_load"), "waiting"),
  share(t("common.charging"), "charging"),
  { name: t("factory_figures.metres"), cell: ({ metres }) => (typeof metres === "number" ? number(Math.round(metres * 10) / 10) : "–"), class: "figure" },
  {
    name: t("common.battery"),
    cell: ({ battery_percent_per_h: slope }) => (typeof slope === "number" ? t("factory_figures.an_hour", { it: number(Math.round(slope * 10) / 10) }) : "–"),
    class: "figure",
  },
];
