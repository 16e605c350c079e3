/** System: how each service does, what waits for it, and how much goes through. */

import { duration, number, orNone } from "../core/format.js";
import { html, useApp, useRef } from "../ui/html.js";
import { useEvery, useLoaded } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const ASK_EVERY_MS = 5000;
const MIB = 1_048_576;

export function System() {
  const { api } = useApp();
  const before = useRef(null);
  const loaded = useLoaded(async () => {
    const status = await api.get("/api/v1/system/status");
    const rates = ratesOf(before.current, status);
    before.current = status;
    return { status, rates };
  }, []);
  useEvery(ASK_EVERY_MS, loaded.reload);
  const { status, rates } = loaded.data ?? {};
  return html`
    <${Head} title=${t("common.system")}>
      ${status && html`<${Badge} kind=${status.status === "ok" ? "good" : "bad"}>${word(status.status)}<//>`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${status && html`
      <p class="quiet">${tx("system.as_of_asked_every_s", { at: when(status.at), it: ASK_EVERY_MS / 1000, bus: status.bus })}</p>
      <${Table} label=${t("system.services")} rows=${status.services} keyOf=${({ service }) => service} columns=${SERVICES} />
      <div class="panels">
        <${Panel} title=${t("system.consumers_of_the_bus")} class="wide-panel">
          <${Table} label=${t("system.consumers")} rows=${status.services.flatMap(({ consumers }) => consumers)}
            keyOf=${keyOfConsumer} columns=${consumerColumns(rates)} />
        <//>
        <${Panel} title=${t("system.streams_of_the_bus")} class="wide-panel">
          <${Table} label=${t("system.streams")} rows=${status.streams} keyOf=${({ stream }) => stream} columns=${streamColumns(rates)} />
        <//>
        <${Broker} />
      </div>`}`;
}

const keyOfConsumer = ({ stream, consumer }) => `${stream}/${consumer}`;

/** Messages a second by consumer and stream, from two answers; empty for want of an older one. */
function ratesOf(before, status) {
  const rates = new Map();
  if (!before || status.at <= before.at) return rates;
  const seconds = (status.at - before.at) / 1000;
  const older = new Map(countsOf(before));
  for (const [key, count] of countsOf(status)) {
    if (older.has(key) && count >= older.get(key)) rates.set(key, (count - older.get(key)) / seconds);
  }
  return rates;
}

const countsOf = ({ services, streams }) => [
  ...services.flatMap(({ consumers }) => consumers.map((one) => [keyOfConsumer(one), one.delivered])),
  ...streams.map(({ stream, last_seq: lastSeq }) => [stream, lastSeq]),
];

const perSecond = (rate) => (rate === undefined ? "…" : `${rate < 10 ? rate.toFixed(1) : Math.round(rate)} /s`);

const SERVICES = [
  { name: t("common.service"), cell: ({ service }) => html`<strong>${service}</strong>` },
  {
    name: t("system.health"),
    cell: ({ up, ready }) =>
      html`<${Badge} kind=${ready ? "good" : up ? "warn" : "bad"}>${ready ? word("ready") : up ? t("system.not_ready") : word("down")}<//>`,
  },
  { name: t("system.waiting"), cell: ({ lag }) => number(lag), class: "figure" },
  { name: t("system.version"), cell: ({ version }) => orNone(version) },
  { name: t("system.processes"), cell: ({ replicas }) => replicas.map((replica) => html`<${Replica} replica=${replica} />`) },
  { name: t("common.last_error"), cell: ({ last_error: error }) => (error ? errorText(error) : "–") },
];

const errorText = ({ event, at, message }) => html`${event} <span class="quiet">${when(at)} ${message ?? ""}</span>`;

function Replica({ replica }) {
  const wrong = Object.entries(replica.checks).filter(([, state]) => state !== "ok");
  const age = (Date.now() - replica.started_at) / 1000;
  return html`
    <span class="block">${replica.replica} <span class="quiet">${tx("system.up", { age: duration(age) })}</span>
      ${wrong.map(([name, state]) => html`<span class="field-problem block" key=${name}>${name}: ${state}</span>`)}
    </span>`;
}

const consumerColumns = (rates) => [
  { name: t("system.consumer"), cell: ({ consumer }) => consumer },
  { name: t("system.stream"), cell: ({ stream }) => stream },
  { name: t("system.throughput"), cell: (one) => perSecond(rates.get(keyOfConsumer(one))), class: "figure" },
  { name: t("system.waiting"), cell: ({ pending }) => number(pending), class: "figure" },
  { name: t("system.in_work"), cell: ({ unacknowledged }) => number(unacknowledged), class: "figure" },
  { name: t("system.again"), cell: ({ redelivered }) => number(redelivered), class: "figure" },
];

const streamColumns = (rates) => [
  { name: t("system.stream"), cell: ({ stream }) => stream },
  { name: t("system.throughput"), cell: ({ stream }) => perSecond(rates.get(stream)), class: "figure" },
  { name: t("common.messages"), cell: ({ messages }) => number(messages), class: "figure" },
  { name: t("common.size"), cell: (one) => sizeOf(one), class: "figure" },
];

function sizeOf({ bytes, max_bytes: most }) {
  const used = `${number(bytes / MIB)} MiB`;
  return most > 0 ? t("system.of_mib", { used, it: number(most / MIB) }) : used;
}

function Broker() {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/system/mqtt/profile"), []);
  return html`
    <${Panel} title=${t("system.mqtt_broker")}>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <p class="quiet">${t("system.the_broker_from_which")}</p>
        <${Facts} facts=${brokerFacts(loaded.data)} />`}
    <//>`;
}

function brokerFacts({ active, address, profiles }) {
  const others = profiles.filter((profile) => profile !== active);
  return [
    [t("common.address"), address],
    [t("system.profile_in_use"), active],
    [t("system.other_profiles"), others.join(", ") || t("system.no_other_profile")],
  ];
}
