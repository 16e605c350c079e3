/** The figures of the factory over a window: OEE of each module, how AGVs spend their time, and the line as a whole. */

import { duration, number, orNone } from "../core/format.js";
import { figuresByKind, percent } from "../core/factory.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvery, useLoaded } from "../ui/hooks.js";
import { Facts, ListState, Panel } from "../ui/parts.js";
import { Table } from "../ui/table.js";

const HOUR_MS = 3_600_000;
const WINDOWS = [[1, "the last hour"], [8, "the last 8 hours"], [24, "the last day"], [7 * 24, "the last 7 days"]];
const LOOK_AGAIN_EVERY_MS = 30_000;

/** `rows`: the modules and AGVs; `place`: names the environment, with which the figures are others. */
export function FiguresPanel({ rows, place }) {
  const { api } = useApp();
  const [hours, setHours] = useState(1);
  const loaded = useLoaded(() => {
    const to = Date.now();
    return api.get("/api/v1/factory/figures", { from: to - hours * HOUR_MS, to });
  }, [hours, place]);
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  const { modules, agvs } = figuresByKind(loaded.data?.machines ?? [], rows);
  return html`
    <${Panel} title="Figures">
      <label>Of <select name="window" onChange=${({ currentTarget }) => setHours(Number(currentTarget.value))}>
        ${WINDOWS.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
      </select></label>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <${Facts} facts=${lineFacts(loaded.data)} />
        <${Table} label="Figures of modules" rows=${modules} keyOf=${({ serial }) => serial} columns=${OF_MODULES} />
        <${Table} label="Figures of AGVs" rows=${agvs} keyOf=${({ serial }) => serial} columns=${OF_AGVS} />
        <p class="quiet">OEE is availability × performance × quality. Performance is the time of the fastest tenth of a
          command beside what it took. – : nothing is known of this window.</p>`}
    <//>`;
}

const lineFacts = ({ orders, orders_per_hour: rate, yield_share: share, lead_ms_p50: half, lead_ms_p90: most, types }) => [
  ["Finished orders", `${orders}, ${number(Math.round(rate * 10) / 10)} an hour`],
  ["Yield", percent(share)],
  ["Lead time, half of them", ofMs(half)],
  ["Lead time, 90 % of them", ofMs(most)],
  ...types.map((one) => [`Lead time of ${one.type}`, `${ofMs(one.lead_ms_p50)}${planned(one)}`]),
];

const planned = ({ planned_ms: ms }) => (ms === null || ms === undefined ? "" : `, planned ${ofMs(ms)}`);

const ofMs = (ms) => duration(typeof ms === "number" ? ms / 1000 : null);

const named = {
  name: "Serial",
  cell: ({ serial, type }) => html`<strong>${orNone(type)}</strong><span class="quiet block">${serial}</span>`,
};

const share = (name, field) => ({ name, cell: (row) => percent(row[field]), class: "figure" });

const OF_MODULES = [
  named,
  { name: "OEE", cell: ({ oee }) => html`<strong>${percent(oee)}</strong>`, class: "figure" },
  share("Availability", "availability"),
  share("Performance", "performance"),
  share("Quality", "quality"),
  { name: "Actions", cell: ({ actions }) => actions, class: "figure" },
];

const OF_AGVS = [
  named,
  share("Availability", "availability"),
  share("Driving", "driving"),
  share("Waiting for its load", "waiting"),
  share("Charging", "charging"),
  { name: "Metres", cell: ({ metres }) => (typeof metres === "number" ? number(Math.round(metres * 10) / 10) : "–"), class: "figure" },
  {
    name: "Battery",
    cell: ({ battery_percent_per_h: slope }) => (typeof slope === "number" ? `${number(Math.round(slope * 10) / 10)} % an hour` : "–"),
    class: "figure",
  },
];
