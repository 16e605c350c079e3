/** Steering: what is to be done, what would be sent, and how each command ends. */

import { orNone } from "../core/format.js";
import { JOURNAL, OPEN_COMMANDS, withCommands } from "../core/factory.js";
import { randomId } from "../core/ids.js";
import { CheckField, Form, NumberField, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useRef, useState } from "../ui/html.js";
import { useAction, useEvents, useEvery, useLoaded, useStore } from "../ui/hooks.js";
import { Badge, Head, ListState, Panel, ProblemNotice } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";

const ROUTES = ["DPS-HBW", "HBW-DPS", "RED-Prod", "BLUE-Prod", "WHITE-Prod"];
const COLOURS = ["WHITE", "RED", "BLUE"];
const MOVEMENTS = [
  ["relmove_left", "left"], ["relmove_right", "right"], ["relmove_up", "up"], ["relmove_down", "down"],
  ["home", "to its middle"], ["stop", "stop"],
];
const ASK_AGAIN_MS = 3000;
const LAST = 25;

/** What can be done: {title, fields(known), request(values)}; `known`: {modules, agvs, orders}. */
const DEEDS = {
  order: {
    title: "Order",
    hint: "The central control makes a piece, or stores one that lies at the entrance.",
    fields: () => html`
      <${SelectField} label="Colour" name="type" options=${COLOURS} />
      <${SelectField} label="What" name="order_type" options=${[["PRODUCTION", "production"], ["STORAGE", "storage"]]} />
      <${TextField} label="Workpiece (to be stored)" name="workpiece_id" maxlength="64" />`,
    request: (values) => given(values),
  },
  navigate: {
    title: "Route",
    hint: "An AGV drives from one module to another and docks there.",
    fields: ({ agvs }) => html`
      <${SelectField} label="Route" name="route" options=${ROUTES} />
      <${SelectField} label="AGV" name="agv" options=${[["", "the one that stands there"], ...agvs]} />`,
    request: (values) => given(values),
  },
  sequence: {
    title: "Sequence",
    hint: "A module takes a piece, works on it and gives it back: three commands, one after the other.",
    fields: ({ working }) => html`
      <${SelectField} label="Module" name="module" options=${working} />
      <${SelectField} label="Colour of the piece" name="load_type" options=${COLOURS} />
      <${TextField} label="Workpiece (may be left empty)" name="workpiece_id" maxlength="64" />`,
    request: (values) => given(values),
  },
  charge: {
    title: "Charging",
    hint: "An AGV goes to the charger, or leaves it.",
    fields: ({ agvs }) => html`
      <${SelectField} label="AGV" name="agv" options=${agvs} />
      <${CheckField} label="Charge it" name="charge" checked />`,
    request: (values) => values,
  },
  park: {
    title: "Park",
    hint: "The central control parks the factory. Nothing answers: the map shows where the AGVs go.",
    fields: () => null,
    request: () => ({}),
  },
  pair: {
    title: "Pair",
    hint: "The central control takes an AGV into its service.",
    fields: ({ agvs }) => html`<${SelectField} label="AGV" name="agv" options=${agvs} />`,
    request: (values) => values,
  },
  camera: {
    title: "Camera",
    hint: "The camera above the factory turns. Nothing answers: its next picture shows it.",
    fields: () => html`
      <${SelectField} label="Movement" name="cmd" options=${MOVEMENTS} />
      <${NumberField} label="Degrees" name="degree" value="10" min="1" max="180" step="1"
        hint="Of up, down, left and right" />`,
    request: ({ cmd, degree }) => (cmd.startsWith("relmove_") ? given({ cmd, degree }) : { cmd }),
  },
  cancel: {
    title: "Cancel an order",
    hint: "Only an order that has not begun can be cancelled.",
    fields: ({ waiting }) => html`<${SelectField} label="Order" name="order_id" options=${waiting} />`,
    request: ({ order_id: id }) => ({ order_ids: id ? [id] : [] }),
  },
  reset: {
    title: "Reset",
    hint: "The central control deletes its orders and, with the store, its contents. This cannot be undone.",
    fields: () => html`
      <${CheckField} label="Delete the store's contents too" name="with_storage" />
      <${TextField} label="Type RESET to confirm" name="confirm" required />`,
    request: (values) => values,
    danger: true,
  },
};

export function Steering() {
  const { environment } = useApp();
  const [deed, setDeed] = useState("order");
  const [sent, setSent] = useState(0);
  const found = useStore(environment.current);
  return html`
    <${Head} title="Steering">
      ${found && html`<span>Environment <strong>${found.env}</strong>, ${found.kind}</span>`}
    <//>
    <div class="buttons" role="group" aria-label="What is to be done">
      ${Object.entries(DEEDS).map(([name, { title }]) => html`
        <button type="button" key=${name} aria-pressed=${String(name === deed)} onClick=${() => setDeed(name)}>${title}</button>`)}
    </div>
    <${Deed} key=${`${deed} ${found?.env} ${found?.epoch}`} name=${deed} onSent=${() => setSent((count) => count + 1)} />
    <${Journal} sent=${sent} />`;
}

/** Of one environment: what was previewed in another one must not be sent in this. */
function Deed({ name, onSent }) {
  const { api } = useApp();
  const { title, hint, fields, request, danger = false } = DEEDS[name];
  const known = useLoaded(() => knownOf(api), []);
  const [plan, setPlan] = useState(null);
  const [preview, previewState] = useAction(async (values) => {
    const body = { do: name, ...request(values) };
    setPlan(null);
    setPlan({ body, ...(await api.post("/api/v1/factory/steering/preview", body)) });
  });
  return html`
    <${Panel} title=${title}>
      <p>${hint}</p>
      <${ProblemNotice} problem=${known.problem} onRetry=${known.reload} />
      ${known.data && html`
        <${Form} onSubmit=${preview} submit="Preview" state=${previewState}>
          <div class="field-grid">${fields(known.data)}</div>
        <//>`}
      ${plan && html`<${Plan} key=${JSON.stringify(plan.body)} plan=${plan} danger=${danger} onSent=${onSent} />`}
    <//>`;
}

/** What the choices are: modules, AGVs and orders that wait. */
async function knownOf(api) {
  const [{ items: rows }, { items: orders }] = await Promise.all([
    api.get("/api/v1/factory/modules"), api.get("/api/v1/factory/orders", { state: "ENQUEUED", limit: 50 })]);
  const named = ({ serial, type }) => [serial, `${type ?? "AGV"} ${serial}`];
  return {
    agvs: rows.filter(({ kind }) => kind === "agv").map(named),
    working: rows.filter(({ type }) => ["DRILL", "MILL", "AIQS"].includes(type)).map(named),
    waiting: orders.map(({ order_id: id, type }) => [id, `${type} ${id}`]),
  };
}

/** The messages of a request and its checks; sent once, however often the button is pressed. */
function Plan({ plan, danger, onSent }) {
  const { api, toasts } = useApp();
  const idempotencyKey = useRef(randomId());
  const [isSent, setSent] = useState(false);
  const [send, { problem, isBusy }] = useAction(async () => {
    const headers = { "Idempotency-Key": idempotencyKey.current };
    const { commands } = await api.post("/api/v1/factory/steering", plan.body, { headers });
    setSent(true);
    toasts.say(commands.length === 1 ? "One command is on its way." : `${commands.length} commands are on their way.`);
    onSent();
  });
  const refused = plan.checks.find(({ ok }) => !ok);
  return html`
    <section class="plan" aria-label="Preview">
      <h3>What would be sent</h3>
      ${plan.messages.map(({ topic, payload, after }, index) => html`
        <details class="message" key=${index} open=${plan.messages.length === 1}>
          <summary><span class="topic">${topic}</span>${after && html` <span class="quiet">after the previous one is finished</span>`}</summary>
          <pre>${JSON.stringify(payload, null, 2)}</pre>
        </details>`)}
      ${!plan.messages.length && html`<p class="quiet">Nothing: a check refuses the request.</p>`}
      <h3>Checks</h3>
      <ul class="checks">
        ${plan.checks.map(({ ok, text, code }) => html`
          <li key=${text}><${Badge} kind=${ok ? "good" : "bad"}>${ok ? "passed" : "refused"}<//> ${text}
            ${code && html` <span class="quiet">(code ${code})</span>`}</li>`)}
      </ul>
      <${ProblemNotice} problem=${problem} />
      <div class="buttons">
        <button type="button" class=${danger ? "danger" : "primary"} disabled=${isBusy || isSent || Boolean(refused)}
          onClick=${() => send()}>${isSent ? "Sent" : "Send"}</button>
      </div>
    </section>`;
}

/** The last commands, each followed to its end. `sent` grows when another was sent. */
function Journal({ sent }) {
  const { api, environment } = useApp();
  const found = useStore(environment.current);
  const loaded = useLoaded(() => api.get("/api/v1/factory/commands", { limit: LAST }), [sent, `${found?.env} ${found?.epoch}`]);
  useEvents((batch) => {
    const mine = batch.filter(({ data }) => data.env === found?.env);
    if (mine.some(({ type }) => type === "factory_command")) {
      loaded.setData((data) => ({ ...data, items: withCommands(data.items, mine) }));
    }
  });
  const commands = loaded.data?.items ?? [];
  useEvery(ASK_AGAIN_MS, () => commands.some(({ state }) => OPEN_COMMANDS.has(state)) && loaded.reload());
  return html`
    <${Panel} title="Journal">
      <${ListState} loaded=${loaded} count=${commands.length} empty="No command was sent in this environment yet." />
      <${Table} label="Commands, newest first" rows=${commands} keyOf=${({ command_id: id }) => id} columns=${COLUMNS} />
    <//>`;
}

const COLUMNS = [
  { name: "Sent", cell: ({ queued_at: at }) => when(at) },
  {
    name: "What",
    cell: ({ do: deed, topic, step }) => html`${deed}${step === null || step === undefined ? "" : `, step ${step + 1}`}
      <span class="quiet block topic">${topic}</span>`,
  },
  {
    name: "How it stands",
    cell: ({ state, code, result, late }) => html`
      <${Badge} kind=${JOURNAL[state] ?? "idle"}>${state.replace("_", " ")}<//>
      ${(result || code) && html`<span class="quiet block">${[result, code && `code ${code}`].filter(Boolean).join(", ")}</span>`}
      ${late && html`<span class="quiet block">finished too late</span>`}`,
  },
  {
    name: "Order",
    cell: ({ order_id: id, do: deed }) => (id && deed === "order" ? html`<a href=${link("orders", id)}>${id}</a>` : orNone(id)),
  },
  { name: "By", cell: ({ user }) => user },
];
