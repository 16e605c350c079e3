/** Orders: every order of the factory, and the last ones on one axis; one order with its steps and its workpiece. */

import { path } from "../core/api.js";
import { duration, orNone } from "../core/format.js";
import { dateTime } from "../core/times.js";
import { ORDER, ganttOf, orderTypeText, spanOf, stepName, stepSeconds, timeOf, waitedSeconds, withOrders } from "../core/factory.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow, usePages, useStore } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { GanttSteps, GanttTrack } from "./factory_gantt.js";
import { WorkpiecePanel } from "./factory_workpiece.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const PATH = "/api/v1/factory/orders";
const TOGETHER = 6;
const MOVES_EVERY_MS = 2000;
const ALL = t("factory_orders.all_states");
const STATES = [ALL, "ENQUEUED", "IN_PROGRESS", "FINISHED", "ERROR", "CANCELLED"];

export const Orders = ({ parts }) => (parts.length ? html`<${OneOrder} id=${parts[0]} />` : html`<${OrderList} />`);

function OrderList() {
  const { api, environment } = useApp();
  const [state, setState] = useState(ALL);
  const found = useStore(environment.current);
  const query = { state: state === ALL ? null : state, limit: 50 };
  const loaded = usePages((cursor) => api.get(PATH, { ...query, cursor }), [state, `${found?.env} ${found?.epoch}`]);
  const now = useNow(MOVES_EVERY_MS);
  useEvents((batch) => {
    if (!batch.some(({ type, data }) => type === "factory_order" && data.env === found?.env)) return;
    if (state === ALL) loaded.setData((data) => ({ ...data, items: withOrders(data.items, batch) }));
    else loaded.reloadSoon();
  });
  const orders = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.orders")}>
      <label>${t("common.show_3")} <select value=${state} onChange=${(event) => setState(event.currentTarget.value)}>
        ${STATES.map((each) => html`<option key=${each} value=${each}>${word(each, "order")}</option>`)}
      </select></label>
    <//>
    <${ListState} loaded=${loaded} count=${orders.length} empty=${t("factory_orders.there_is_no_such_order")} />
    ${orders.length > 0 && html`<${Together} orders=${orders.filter((order) => order.started !== null).slice(0, TOGETHER)} now=${now} />`}
    <${Table} label=${t("factory_orders.orders_newest_first")} rows=${orders} keyOf=${({ order_id: id }) => id} columns=${columns(now)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />`;
}

const shortId = (id) => (id.length > 12 ? `${id.slice(0, 8)}…` : id);

const columns = (now) => [
  {
    name: t("common.order"),
    cell: ({ order_id: id, type, order_type: orderType }) => html`
      <a href=${link("orders", id)} aria-label=${t("factory_orders.order", { id })}>${shortId(id)}</a>
      <span class="quiet block">${tx("factory_orders.of_3", { orderType: orderTypeText(orderType), type: orNone(type) })}</span>`,
  },
  {
    name: t("common.state"),
    cell: ({ state, reason, lost, missing_since: missing, replaces }) => html`
      <${Badge} kind=${ORDER[state] ?? "idle"}>${word(state, "order")}<//>
      ${reason && html`<span class="quiet block">${reason}</span>`}
      ${lost ? html`<span class="field-problem block">${t("factory_orders.lost_the_central_control_has")}</span>`
        : missing && html`<span class="quiet block">${t("factory_orders.neither_active_nor_completed")}</span>`}
      ${replaces && html`<a class="block" href=${link("orders", replaces)}>${t("factory_orders.replaces_a_failed_one")}</a>`}`,
  },
  { name: t("common.steps"), cell: ({ steps_done: done, steps_total: total }) => t("factory_orders.of_2", { done, total }), class: "figure" },
  { name: t("common.received"), cell: (order) => when(timeOf(order)) },
  {
    name: t("common.took"),
    cell: ({ lead_ms: lead, started, stopped }) =>
      (lead ? duration(lead / 1000) : started && !stopped ? t("factory_orders.so_far", { it: duration((now - started) / 1000) }) : "–"),
    class: "figure",
  },
  {
    name: t("common.workpiece"),
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
    <${Panel} title=${t("factory_orders.the_last_orders_together")}>
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
    <${Head} title=${t("factory_orders.order", { id: shortId(id) })}>
      ${order && html`<${Badge} kind=${ORDER[order.state] ?? "idle"}>${word(order.state, "order")}<//>`}
      <a href=${link("orders")}>${t("common.all_orders")}</a>
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${order && html`
      <${Panel} title=${t("factory_orders.what_it_is")}>
        <${Facts} facts=${factsOf(order, steps)} />
      <//>
      <${Panel} title=${t("factory_orders.timeline")}>
        <${GanttSteps} chart=${ganttOf(loaded.data, now)} now=${now} />
      <//>
      ${order.workpiece_id && html`<${WorkpiecePanel} id=${order.workpiece_id} />`}`}`;
}

const factsOf = (order, steps) => [
  [t("common.id"), order.order_id],
  [t("common.kind"), t("factory_orders.of", { order_type: orderTypeText(order.order_type), type: orNone(order.type) })],
  [t("factory_orders.requested"), `${dateTime(order.requested)}${order.corrected ? t("factory_orders.clock_corrected") : ""}`],
  [t("common.started"), when(order.started)],
  [t("common.ended"), when(order.stopped)],
  [t("common.took"), order.lead_ms ? duration(order.lead_ms / 1000) : "–"],
  [t("factory_orders.waited_between_steps"), duration(waitedSeconds(steps))],
  [t("factory_orders.longest_step"), longestOf(steps)],
];

function longestOf(steps) {
  const ended = steps.filter(({ started, stopped }) => started && stopped);
  if (!ended.length) return "–";
  const longest = ended.reduce((one, other) => (stepSeconds(other) > stepSeconds(one) ? other : one));
  return `${stepName(longest)}, ${duration(stepSeconds(longest))}`;
}
