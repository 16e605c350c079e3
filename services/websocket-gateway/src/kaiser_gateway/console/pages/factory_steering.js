/** Steering: what is to be done, what would be sent, and how each command ends. */

import { orNone } from "../core/format.js";
import { JOURNAL, OPEN_COMMANDS, withCommands } from "../core/factory.js";
import { randomId } from "../core/ids.js";
import { Button } from "../ui/button.js";
import { CheckField, Form, NumberField, SelectField, TextField, given, jsonOf } from "../ui/form.js";
import { html, useApp, useRef, useState } from "../ui/html.js";
import { useAction, useEvents, useEvery, useLoaded, useStore } from "../ui/hooks.js";
import { Badge, Head, ListState, Panel, ProblemNotice, Reason } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { isEnglish, t, tx, word } from "../core/texts.js";

const ROUTES = ["DPS-HBW", "HBW-DPS", "RED-Prod", "BLUE-Prod", "WHITE-Prod"];
const COLOURS = ["WHITE", "RED", "BLUE"];
const MOVEMENTS = [
  ["relmove_left", t("factory_steering.left")], ["relmove_right", t("factory_steering.right")],
  ["relmove_up", t("factory_steering.up")], ["relmove_down", t("factory_steering.down")],
  ["home", t("factory_steering.to_its_middle")], ["stop", t("factory_steering.stop")],
];
const COMMANDS = ["PICK", "DROP", "MILL", "DRILL", "CHECK_QUALITY", "INPUT_RGB", "RGB_NFC"];
const ACTIONS = [
  "findInitialDockPosition", "clearLoadHandler", "factsheetRequest", "reset", "setStatusLED", "announceOutput",
  "cancelStorageOrder", "startPause", "stopPause", "cancelOrder", "stateRequest", "startCharging", "stopCharging", "initPosition",
];
const ASK_AGAIN_MS = 3000;
const LAST = 25;

/** What can be done: {title, fields(known), request(values)}; `known`: {modules, agvs, working, waiting}. */
const DEEDS = {
  order: {
    title: t("common.order"),
    hint: t("factory_steering.the_central_control_makes_a"),
    fields: () => html`
      <${SelectField} label=${t("factory_steering.colour")} name="type" options=${COLOURS} />
      <${SelectField} label=${t("common.what")} name="order_type" options=${[["PRODUCTION", word("PRODUCTION", "order_type")], ["STORAGE", word("STORAGE", "order_type")]]} />
      <${TextField} label=${t("factory_steering.workpiece_to_be_stored")} name="workpiece_id" maxlength="64" />`,
    request: (values) => given(values),
  },
  navigate: {
    title: t("factory_steering.route"),
    hint: t("factory_steering.an_agv_drives_from_one"),
    fields: ({ agvs }) => html`
      <${SelectField} label=${t("factory_steering.route")} name="route" options=${ROUTES} />
      <${SelectField} label=${t("common.agv")} name="agv" options=${[["", t("factory_steering.the_one_that_stands_there")], ...agvs]} />`,
    request: (values) => given(values),
  },
  sequence: {
    title: t("common.sequence"),
    hint: t("factory_steering.a_module_takes_a_piece"),
    fields: ({ working }) => html`
      <${SelectField} label=${t("factory_steering.module")} name="module" options=${working} />
      <${SelectField} label=${t("factory_steering.colour_of_the_piece")} name="load_type" options=${COLOURS} />
      <${TextField} label=${t("factory_steering.workpiece_may_be_left_empty")} name="workpiece_id" maxlength="64" />`,
    request: (values) => given(values),
  },
  path: {
    title: t("factory_steering.path"),
    hint: t("factory_steering.a_vehicle_drives_along_nodes"),
    fields: ({ agvs }) => html`
      <${SelectField} label=${t("factory_steering.vehicle")} name="agv" options=${agvs} />
      <${TextField} label=${t("factory_steering.nodes_in_order")} name="path" placeholder="N1 N2 N3" required />
      <${TextField} label=${t("factory_steering.action_at_the_last_node")} name="action" placeholder="pick" maxlength="128" />`,
    request: ({ agv, path, action }) => given({
      do: "navigate", agv, path: (path ?? "").split(/[\s,]+/).filter(Boolean), action: action && { type: action },
    }),
  },
  command: {
    title: t("common.command"),
    hint: t("factory_steering.one_command_to_a_module"),
    fields: ({ modules }) => html`
      <${SelectField} label=${t("factory_steering.module")} name="serial" options=${modules} />
      <${SelectField} label=${t("common.command")} name="command" options=${COMMANDS} />
      <${TextField} label=${t("factory_steering.metadata")} name="metadata" placeholder=${'{"type": "WHITE"}'} />`,
    request: ({ serial, command, metadata }) => given({ serial, command, metadata: jsonOf(metadata, "metadata") }),
  },
  instant: {
    title: t("factory_steering.instant_action"),
    hint: t("factory_steering.a_machine_does_something_beside"),
    fields: ({ modules, agvs }) => html`
      <${SelectField} label=${t("factory_steering.machine")} name="serial" options=${[...agvs, ...modules]} />
      <${SelectField} label=${t("common.action")} name="type" options=${ACTIONS} />
      <${TextField} label=${t("factory_steering.metadata")} name="metadata" placeholder=${'{"nodeId": "SVR4H73275"}'}
        hint=${t("factory_steering.metadata_of_actions")} />`,
    request: ({ serial, type, metadata }) => given({ serial, type, metadata: jsonOf(metadata, "metadata") }),
  },
  charge: {
    title: t("common.charging"),
    hint: t("factory_steering.an_agv_goes_to_the"),
    fields: ({ agvs }) => html`
      <${SelectField} label=${t("common.agv")} name="agv" options=${agvs} />
      <${CheckField} label=${t("factory_steering.charge_it")} name="charge" checked />`,
    request: (values) => values,
  },
  park: {
    title: t("factory_steering.park"),
    hint: t("factory_steering.the_central_control_parks_the"),
    fields: () => null,
    request: () => ({}),
  },
  pair: {
    title: t("factory_steering.pair"),
    hint: t("factory_steering.the_central_control_takes_an"),
    fields: ({ agvs }) => html`<${SelectField} label=${t("common.agv")} name="agv" options=${agvs} />`,
    request: (values) => values,
  },
  camera: {
    title: t("factory_steering.camera"),
    hint: t("factory_steering.the_camera_above_the_factory"),
    fields: () => html`
      <${SelectField} label=${t("factory_steering.movement")} name="cmd" options=${MOVEMENTS} />
      <${NumberField} label=${t("factory_steering.degrees")} name="degree" value="10" min="1" max="180" step="1"
        hint=${t("factory_steering.of_up_down_left_and")} />`,
    request: ({ cmd, degree }) => (cmd.startsWith("relmove_") ? given({ cmd, degree }) : { cmd }),
  },
  cancel: {
    title: t("factory_steering.cancel_an_order"),
    hint: t("factory_steering.only_an_order_that_has"),
    fields: ({ waiting }) => html`<${SelectField} label=${t("common.order")} name="order_id" options=${waiting} />`,
    request: ({ order_id: id }) => ({ order_ids: id ? [id] : [] }),
  },
  reset: {
    title: t("factory_steering.reset"),
    hint: t("factory_steering.the_central_control_deletes_its"),
    fields: () => html`
      <${CheckField} label=${t("factory_steering.delete_the_store_s_contents")} name="with_storage" />
      <${TextField} label=${t("factory_steering.type_reset_to_confirm")} name="confirm" required />`,
    request: (values) => values,
    danger: true,
  },
};

export function Steering() {
  const { environment } = useApp();
  const [deed, setDeed] = useState("order");
  const [sent, setSent] = useState(0);
  const found = useStore(environment.current);
  const place = found ? `${found.env} ${found.epoch}` : "";
  const first = useRef(""); // known late: what somebody has typed before is for it
  first.current ||= place;
  return html`
    <${Head} title=${t("common.steering")}>
      ${found && html`<span>${t("common.environment")} <strong>${found.env}</strong>, ${word(found.kind, "environment")}</span>`}
    <//>
    <div class="buttons" role="group" aria-label=${t("factory_steering.what_is_to_be_done")}>
      ${Object.entries(DEEDS).map(([name, { title }]) => html`
        <button type="button" key=${name} aria-pressed=${String(name === deed)} onClick=${() => setDeed(name)}>${title}</button>`)}
    </div>
    <${Deed} key=${`${deed} ${place === first.current ? "" : place}`} name=${deed} onSent=${() => setSent((count) => count + 1)} />
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
        <${Form} onSubmit=${preview} submit=${t("common.preview")} state=${previewState}>
          <div class="field-grid">${fields(known.data)}</div>
        <//>`}
      ${plan && html`<${Plan} key=${JSON.stringify(plan.body)} plan=${plan} danger=${danger} onSent=${onSent} />`}
    <//>`;
}

/** What the choices are: modules, AGVs and orders that wait. */
async function knownOf(api) {
  const [{ items: rows }, { items: orders }] = await Promise.all([
    api.get("/api/v1/factory/modules"), api.get("/api/v1/factory/orders", { state: "ENQUEUED", limit: 50 })]);
  const named = ({ serial, type }) => [serial, `${type ?? t("common.agv")} ${serial}`];
  return {
    agvs: rows.filter(({ kind }) => kind === "agv").map(named),
    modules: rows.filter(({ kind, type }) => kind !== "agv" && type !== "CHRG").map(named),
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
    toasts.say(t("factory_steering.commands_are_on_their_way", { n: commands.length }));
    onSent();
  });
  const refused = plan.checks.find(({ ok }) => !ok);
  return html`
    <section class="plan" aria-label=${t("common.preview")}>
      <h3>${t("factory_steering.what_would_be_sent")}</h3>
      ${plan.messages.map(({ topic, payload, after }, index) => html`
        <details class="message" key=${index} open=${plan.messages.length === 1}>
          <summary><span class="topic">${topic}</span>${after && html` <span class="quiet">${t("factory_steering.after_the_previous_one_is")}</span>`}</summary>
          <pre>${JSON.stringify(payload, null, 2)}</pre>
        </details>`)}
      ${!plan.messages.length && html`<p class="quiet">${t("factory_steering.nothing_a_check_refuses_the")}</p>`}
      <h3>${t("common.checks")}</h3>
      <ul class="checks">
        ${plan.checks.map(({ ok, text, code }) => html`
          <li key=${text}><${Badge} kind=${ok ? "good" : "bad"}>${ok ? t("factory_steering.passed") : word("refused")}<//> ${code && !isEnglish() ? word(code, "problem") : ""} <${Reason} text=${text} />
            ${code && html` <span class="quiet">${tx("common.code", { code })}</span>`}</li>`)}
      </ul>
      <${ProblemNotice} problem=${problem} />
      <div class="buttons">
        <${Button} class=${danger ? "danger" : "primary"} disabled=${Boolean(refused)} isBusy=${isBusy || isSent}
          onClick=${() => send()}>${isSent ? t("factory_steering.sent") : t("common.send_3")}<//>
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
    <${Panel} title=${t("factory_steering.journal")}>
      <${ListState} loaded=${loaded} count=${commands.length} empty=${t("factory_steering.no_command_was_sent_in")} />
      <${Table} label=${t("factory_steering.commands_newest_first")} rows=${commands} keyOf=${({ command_id: id }) => id} columns=${COLUMNS} />
    <//>`;
}

const COLUMNS = [
  { name: t("factory_steering.sent"), cell: ({ queued_at: at }) => when(at) },
  {
    name: t("common.what"),
    cell: ({ do: deed, topic, step }) => html`${word(deed, "deed")}${step === null || step === undefined ? "" : t("factory_steering.step", { it: step + 1 })}
      <span class="quiet block topic">${topic}</span>`,
  },
  {
    name: t("factory_steering.how_it_stands"),
    cell: ({ state, code, result, late }) => html`
      <${Badge} kind=${JOURNAL[state] ?? "idle"}>${word(state, "command", state.replaceAll("_", " "))}<//>
      ${(result || code) && html`<span class="quiet block">${[result && word(result, "result"), code && t("factory_steering.code", { code })].filter(Boolean).join(", ")}</span>`}
      ${late && html`<span class="quiet block">${t("factory_steering.finished_too_late")}</span>`}`,
  },
  {
    name: t("common.order"),
    cell: ({ order_id: id, do: deed }) => (id && deed === "order" ? html`<a href=${link("orders", id)}>${id}</a>` : orNone(id)),
  },
  { name: t("common.by_3"), cell: ({ user }) => user },
];
