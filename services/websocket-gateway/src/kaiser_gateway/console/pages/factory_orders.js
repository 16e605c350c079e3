/** Orders: every order of the factory, and the last ones on one axis; one order with its steps and its workpiece. */

import { path } from "../core/api.js";
import { duration, orNone } from "../core/format.js";
import { dateTime } from "../core/times.js";
import { ORDER, ganttOf, spanOf, stepName, stepSeconds, timeOf, waitedSeconds, withOrders } from "../core/factory.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvents, useEvery, useLoaded, useNow, useStore } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { GanttSteps, GanttTrack } from "./factory_gantt.js";
import { WorkpiecePanel } from "./factory_workpiece.js";
import { when } from "../ui/time.js";

const PATH = "/api/v1/factory/orders";
const TOGETHER = 6;
const MOVES_EVERY_MS = 2000;
const ALL = "all states";
const STATES = [ALL, "ENQUEUED", "IN_PROGRESS", "FINISHED", "ERROR", "CANCELLED"];

export const Orders = ({ parts }) => (parts.length ? html`<${OneOrder} id=${parts[0]} />` : html`<${OrderList} />`);

function OrderList() {
  const { api, environment } = useApp();
  const [state, setState] = useState(ALL);
  const found = useStore(environment.current);
  const query = { state: state === ALL ? null : state, limit: 50 };
  const loaded = useLoaded(() => api.get(PATH, query), [state, `${found?.env} ${found?.epoch}`]);
  const now = useNow(MOVES_EVERY_MS);
  const [more, moreState] = useAction(async () => {
    const next = await api.get(PATH, { ...query, cursor: loaded.data.next_cursor });
    loaded.setData(({ items }) => ({ ...next, items: [...items, ...next.items] }));
  });
  useEvents((batch) => {
    if (!batch.some(({ type, data }) => type === "factory_order" && data.env === found?.env)) return;
    if (state === ALL) loaded.setData((data) => ({ ...data, items: withOrders(data.items, batch) }));
    else loaded.reloadSoon();
  });
  const orders = loaded.data?.items ?? [];
  return html`
    <${Head} title="Orders">
      <label>Show <select value=${state} onChange=${(event) => setState(event.currentTarget.value)}>
        ${STATES.map((each) => html`<option key=${each}>${each}</option>`)}
      </select></label>
    <//>
    <${ListState} loaded=${loaded} count=${orders.length} empty="There is no such order." />
    ${orders.length > 0 && html`<${Together} orders=${orders.filter((order) => order.started !== null).slice(0, TOGETHER)} now=${now} />`}
    <${Table} label="Orders, newest first" rows=${orders} keyOf=${({ order_id: id }) => id} columns=${columns(now)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${moreState.isBusy} onMore=${more} />`;
}

const shortId = (id) => (id.length > 12 ? `${id.slice(0, 8)}…` : id);

const columns = (now) => [
  {
    name: "Order",
    cell: ({ order_id: id, type, order_type: orderType }) => html`
      <a href=${link("orders", id)} aria-label=${`Order ${id}`}>${shortId(id)}</a>
      <span class="quiet block">${orNone(orderType).toLowerCase()} of ${orNone(type)}</span>`,
  },
  {
    name: "State",
    cell: ({ state, reason, lost, missing_since: missing, replaces }) => html`
      <${Badge} kind=${ORDER[state] ?? "idle"}>${state}<//>
      ${reason && html`<span class="quiet block">${reason}</span>`}
      ${lost ? html`<span class="field-problem block">lost: the central control has forgotten it</span>`
        : missing && html`<span class="quiet block">neither active nor completed</span>`}
      ${replaces && html`<a class="block" href=${link("orders", replaces)}>replaces a failed one</a>`}`,
  },
  { name: "Steps", cell: ({ steps_done: done, steps_total: total }) => `${done} of ${total}`, class: "figure" },
  { name: "Received", cell: (order) => when(timeOf(order)) },
  {
    name: "Took",
    cell: ({ lead_ms: lead, started, stopped }) =>
      (lead ? duration(lead / 1000) : started && !stopped ? `${duration((now - started) / 1000)} so far` : "–"),
    class: "figure",
  },
  {
    name: "Workpiece",
    cell: ({ workpiece_id: id }) => (id ? html`<a href=${link("workpiece", id)}>${id}</a>` : "–"),
  },
];

/** Several orders below each other on one axis: who waits for whom. */
function Together({ orders, now }) {
  const { api } = useApp();
  const ids = orders.map(({ order_id: id }) => id);
  const steps = orders.map(({ steps_done: done, state }) => `${done}${state}`).join();
  const loaded = useLoaded(
    () => Promise.all(ids.map((id) => api.get(path`/api/v1/factory/orders/${id}/timeline`))), [ids.join(), steps]);
  const timelines = loaded.data ?? [];
  if (!timelines.length) return null;
  const span = spanOf(timelines, now);
  return html`
    <${Panel} title="The last orders together">
      <ol class="gantt">
        ${timelines.map((timeline) => html`
          <li key=${timeline.order.order_id}>
            <a class="gantt-name" href=${link("orders", timeline.order.order_id)}>
              ${orNone(timeline.order.type)} <span class="quiet">${shortId(timeline.order.order_id)}</span></a>
            <${GanttTrack} bars=${ganttOf(timeline, now, span).bars} />
          </li>`)}
      </ol>
      <p class="quiet gantt-axis"><span>${when(span[0])}</span><span>${when(span[1])}</span></p>
    <//>`;
}

function OneOrder({ id }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/factory/orders/${id}/timeline`), [id]);
  const now = useNow(MOVES_EVERY_MS);
  useEvents((batch) => batch.some(({ type, data }) => type === "factory_order" && data.order_id === id) && loaded.reloadSoon());
  const isOpen = ["ENQUEUED", "IN_PROGRESS"].includes(loaded.data?.order.state);
  useEvery(MOVES_EVERY_MS * 5, () => isOpen && loaded.reload());
  const { order, steps = [] } = loaded.data ?? {};
  return html`
    <${Head} title=${`Order ${shortId(id)}`}>
      ${order && html`<${Badge} kind=${ORDER[order.state] ?? "idle"}>${order.state}<//>`}
      <a href=${link("orders")}>All orders</a>
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${order && html`
      <${Panel} title="What it is">
        <${Facts} facts=${factsOf(order, steps)} />
      <//>
      <${Panel} title="Timeline">
        <${GanttSteps} chart=${ganttOf(loaded.data, now)} now=${now} />
      <//>
      ${order.workpiece_id && html`<${WorkpiecePanel} id=${order.workpiece_id} />`}`}`;
}

const factsOf = (order, steps) => [
  ["Id", order.order_id],
  ["Kind", `${orNone(order.order_type).toLowerCase()} of ${orNone(order.type)}`],
  ["Requested", `${dateTime(order.requested)}${order.corrected ? " (clock corrected)" : ""}`],
  ["Started", when(order.started)],
  ["Ended", when(order.stopped)],
  ["Took", order.lead_ms ? duration(order.lead_ms / 1000) : "–"],
  ["Waited between steps", duration(waitedSeconds(steps))],
  ["Longest step", longestOf(steps)],
];

function longestOf(steps) {
  const ended = steps.filter(({ started, stopped }) => started && stopped);
  if (!ended.length) return "–";
  const longest = ended.reduce((one, other) => (stepSeconds(other) > stepSeconds(one) ? other : one));
  return `${stepName(longest)}, ${duration(stepSeconds(longest))}`;
}
