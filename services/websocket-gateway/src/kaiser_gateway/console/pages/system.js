/** System: how each service does, what waits for it, and how much goes through. */

import { duration, number, orNone } from "../core/format.js";
import { html, useApp, useRef } from "../ui/html.js";
import { useEvery, useLoaded } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";

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
    <${Head} title="System">
      ${status && html`<${Badge} kind=${status.status === "ok" ? "good" : "bad"}>${status.status}<//>`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${status && html`
      <p class="quiet">As of ${when(status.at)}; asked every ${ASK_EVERY_MS / 1000} s. Bus: ${status.bus}.</p>
      <${Table} label="Services" rows=${status.services} keyOf=${({ service }) => service} columns=${SERVICES} />
      <div class="panels">
        <${Panel} title="Consumers of the bus" class="wide-panel">
          <${Table} label="Consumers" rows=${status.services.flatMap(({ consumers }) => consumers)}
            keyOf=${keyOfConsumer} columns=${consumerColumns(rates)} />
        <//>
        <${Panel} title="Streams of the bus" class="wide-panel">
          <${Table} label="Streams" rows=${status.streams} keyOf=${({ stream }) => stream} columns=${streamColumns(rates)} />
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
  { name: "Service", cell: ({ service }) => html`<strong>${service}</strong>` },
  {
    name: "Health",
    cell: ({ up, ready }) =>
      html`<${Badge} kind=${ready ? "good" : up ? "warn" : "bad"}>${ready ? "ready" : up ? "not ready" : "down"}<//>`,
  },
  { name: "Waiting", cell: ({ lag }) => number(lag), class: "figure" },
  { name: "Version", cell: ({ version }) => orNone(version) },
  { name: "Processes", cell: ({ replicas }) => replicas.map((replica) => html`<${Replica} replica=${replica} />`) },
  { name: "Last error", cell: ({ last_error: error }) => (error ? errorText(error) : "–") },
];

const errorText = ({ event, at, message }) => html`${event} <span class="quiet">${when(at)} ${message ?? ""}</span>`;

function Replica({ replica }) {
  const wrong = Object.entries(replica.checks).filter(([, state]) => state !== "ok");
  const age = (Date.now() - replica.started_at) / 1000;
  return html`
    <span class="block">${replica.replica} <span class="quiet">up ${duration(age)}</span>
      ${wrong.map(([name, state]) => html`<span class="field-problem block" key=${name}>${name}: ${state}</span>`)}
    </span>`;
}

const consumerColumns = (rates) => [
  { name: "Consumer", cell: ({ consumer }) => consumer },
  { name: "Stream", cell: ({ stream }) => stream },
  { name: "Throughput", cell: (one) => perSecond(rates.get(keyOfConsumer(one))), class: "figure" },
  { name: "Waiting", cell: ({ pending }) => number(pending), class: "figure" },
  { name: "In work", cell: ({ unacknowledged }) => number(unacknowledged), class: "figure" },
  { name: "Again", cell: ({ redelivered }) => number(redelivered), class: "figure" },
];

const streamColumns = (rates) => [
  { name: "Stream", cell: ({ stream }) => stream },
  { name: "Throughput", cell: ({ stream }) => perSecond(rates.get(stream)), class: "figure" },
  { name: "Messages", cell: ({ messages }) => number(messages), class: "figure" },
  { name: "Size", cell: (one) => sizeOf(one), class: "figure" },
];

function sizeOf({ bytes, max_bytes: most }) {
  const used = `${number(bytes / MIB)} MiB`;
  return most > 0 ? `${used} of ${number(most / MIB)} MiB` : used;
}

function Broker() {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/system/mqtt/profile"), []);
  return html`
    <${Panel} title="MQTT broker">
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <${Facts} facts=${[["In use", loaded.data.active], ["Profiles", loaded.data.profiles.join(", ")]]} />`}
    <//>`;
}
