/** One mock device: its sensors with their overrides, its actuators, its faults, what it sent and received. */

import { path } from "../core/api.js";
import { actuatorState, ago, duration, number, orNone, pretty } from "../core/format.js";
import { timeOfDay } from "../core/times.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, SelectField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { MockFaults } from "./mock_faults.js";
import { ActuatorFields, SensorFields } from "./mock_fields.js";
import { MockBadge, StartStop } from "./mock_parts.js";

const ASK_EVERY_MS = 2000;
const STATES = ["BOOT", "WIFI_CONNECTED", "MQTT_CONNECTED", "OPERATIONAL", "SAFE_MODE", "ERROR"];
const IDLE = { problem: null, isBusy: false };

export function MockPage({ espId }) {
  const { api } = useApp();
  const url = path`/api/v1/debug/mock-esp/${espId}`;
  const loaded = useLoaded(() => api.get(url), [url]);
  const now = useNow();
  useEvery(ASK_EVERY_MS, loaded.reload);
  const mock = loaded.data;
  return html`
    <${Head} title=${espId}>
      <a href=${link("mocks")}>All mocks</a>
      ${mock && html`<${StartStop} mock=${mock} onDone=${loaded.reload} />`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${mock && html`
      <div class="panels">
        <${Panel} title="State">
          <${Facts} facts=${facts(mock, now)} />
          <${Controls} mock=${mock} url=${url} onDone=${loaded.reload} />
        <//>
        <${MockFaults} faults=${mock.faults} url=${url} onDone=${loaded.reload} />
        <${Sensors} mock=${mock} url=${url} onDone=${loaded.reload} />
        <${Actuators} mock=${mock} url=${url} onDone=${loaded.reload} />
        <${Messages} url=${url} />
      </div>`}`;
}

const facts = (mock, now) => [
  ["State", html`<${MockBadge} mock=${mock} />`],
  ["Device", html`<a href=${link("devices", mock.esp_id)}>${mock.registered ? "registered" : "not registered yet"}</a>`],
  ["MQTT", mock.connected ? "connected" : "not connected"],
  ["Firmware", `generation ${mock.firmware.toUpperCase()}${mock.acknowledged ? "" : ", not acknowledged yet"}`],
  ["Zone", orNone(mock.zone_id)],
  ["Running for", duration(mock.uptime_s)],
  ["Heartbeat", ago(mock.last_heartbeat, now)],
  ["Messages sent", number(mock.messages_sent)],
];

function Controls({ mock, url, onDone }) {
  const { api, toasts } = useApp();
  const [isRemoving, setRemoving] = useState(false);
  const isStopped = mock.emergency === "active";
  const [setState, setting] = useAction(async ({ state }) => {
    await api.post(`${url}/state`, { state });
    onDone();
  });
  const [act, acting] = useAction(async (what, body) => {
    await api.post(`${url}/${what}`, body);
    toasts.say(what === "heartbeat" ? "Heartbeat sent." : "Done.");
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(`${mock.esp_id} is removed.`);
    location.hash = link("mocks");
  });
  return html`
    <${Form} onSubmit=${setState} submit="Set" state=${setting}>
      <${SelectField} label="Set its state" name="state" options=${STATES} value="OPERATIONAL" />
    <//>
    <${Form} onSubmit=${() => act("heartbeat")} submit="Send a heartbeat now" state=${acting} />
    <div class="buttons">
      <button type="button" onClick=${() => act("emergency", { action: isStopped ? "clear" : "stop_all" })}>
        ${isStopped ? "Release its red button" : "Press its red button"}</button>
      <button type="button" class="danger-outline" onClick=${() => setRemoving(true)}>Remove…</button>
    </div>
    ${isRemoving && html`
      <${Dialog} title=${`Remove ${mock.esp_id}?`} onClose=${() => setRemoving(false)}>
        <${Form} onSubmit=${remove} submit="Remove" state=${removing} danger><p>What it sent stays stored.</p><//>
      <//>`}`;
}

function Sensors({ mock, url, onDone }) {
  const { api, toasts } = useApp();
  const [overriding, setOverriding] = useState(null);
  const [isAdding, setAdding] = useState(false);
  const [add, adding] = useAction(async (fields) => {
    await api.post(`${url}/sensors`, given(fields));
    setAdding(false);
    onDone();
  });
  const [release] = useAction(async (sensor) => {
    await api.delete(valueUrl(url, sensor));
    toasts.say(`Gpio ${sensor.gpio} measures by its pattern again.`);
    onDone();
  });
  const columns = [
    { name: "Sensor", cell: ({ sensor_type: type, gpio }) => html`${type} <span class="quiet">on gpio ${gpio}</span>` },
    { name: "Last value", cell: ({ last_value: value, unit }) => `${number(value)} ${unit}`, class: "figure" },
    {
      name: "Pattern",
      cell: ({ variation_pattern: pattern, variation_range: range, interval_s: seconds }) =>
        `${pattern} ± ${number(range)}, every ${number(seconds)} s`,
    },
    {
      name: "Override",
      class: "actions",
      cell: (sensor) => html`
        ${sensor.override !== null && html`<${Badge} kind="warn">${number(sensor.override)}<//>`}
        <button type="button" onClick=${() => setOverriding(sensor)}>Override…</button>
        ${sensor.override !== null && html`<button type="button" onClick=${() => release(sensor)}>Release</button>`}`,
    },
  ];
  return html`
    <${Panel} title="Sensors" class="wide-panel">
      <${Table} label="Sensors of the mock" rows=${mock.sensors} columns=${columns}
        keyOf=${({ gpio, sensor_type: type }) => `${gpio}/${type}`} />
      <button type="button" onClick=${() => setAdding(true)}>Add a sensor</button>
      ${isAdding && html`
        <${Dialog} title="Add a sensor" onClose=${() => setAdding(false)} wide>
          <${Form} onSubmit=${add} submit="Add" state=${adding}>
            <div class="field-grid"><${SensorFields} problem=${adding.problem} /></div>
          <//>
        <//>`}
      ${overriding && html`
        <${OverrideDialog} sensor=${overriding} url=${url} onDone=${onDone} onClose=${() => setOverriding(null)} />`}
    <//>`;
}

const valueUrl = (url, { gpio, sensor_type: type }) =>
  `${url}/sensors/${gpio}/value?${new URLSearchParams({ sensor_type: type })}`;

function OverrideDialog({ sensor, url, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [override, state] = useAction(async ({ value, publish }) => {
    await api.post(valueUrl(url, sensor), { value, publish });
    toasts.say(`Gpio ${sensor.gpio} measures ${number(value)} until it is released.`);
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title=${`Override ${sensor.sensor_type} on gpio ${sensor.gpio}`} onClose=${onClose}>
      <${Form} onSubmit=${override} submit="Override" state=${state}>
        <${NumberField} label=${`Value in ${sensor.unit || "its unit"}`} name="value" required problem=${state.problem}
          value=${sensor.override ?? sensor.last_value ?? sensor.base_value} />
        <${CheckField} label="Send a reading now" name="publish" checked />
      <//>
    <//>`;
}

function Actuators({ mock, url, onDone }) {
  const { api } = useApp();
  const [isAdding, setAdding] = useState(false);
  const [add, adding] = useAction(async (fields) => {
    await api.post(`${url}/actuators`, given(fields));
    setAdding(false);
    onDone();
  });
  return html`
    <${Panel} title="Actuators" class="wide-panel">
      <${Table} label="Actuators of the mock" rows=${mock.actuators} columns=${ACTUATORS} keyOf=${({ gpio }) => gpio} />
      <button type="button" onClick=${() => setAdding(true)}>Add an actuator</button>
      ${isAdding && html`
        <${Dialog} title="Add an actuator" onClose=${() => setAdding(false)}>
          <${Form} onSubmit=${add} submit="Add" state=${adding}><${ActuatorFields} problem=${adding.problem} /><//>
        <//>`}
    <//>`;
}

const ACTUATORS = [
  { name: "Actuator", cell: ({ actuator_type: type, gpio }) => html`${type} <span class="quiet">on gpio ${gpio}</span>` },
  { name: "State", cell: (one) => html`<${Badge} kind=${one.state ? "good" : "idle"}>${actuatorState(one)}<//>` },
  { name: "Last command", cell: ({ last_command: command }) => orNone(command) },
  { name: "Error", cell: ({ error }) => orNone(error) },
];

function Messages({ url }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(`${url}/messages`, { limit: 20 }), [url]);
  const messages = loaded.data?.items ?? [];
  return html`
    <${Panel} title="Last messages" class="wide-panel">
      <${Form} onSubmit=${loaded.reload} submit="Look again" state=${IDLE} />
      <${ListState} loaded=${loaded} count=${messages.length} empty="It has sent and received no messages yet." />
      ${messages.map(({ at, direction, topic, payload }, index) => html`
        <details class="message" key=${index}>
          <summary>${timeOfDay(at / 1000)} ${direction} <span class="topic">${topic}</span></summary>
          <pre tabindex="0" aria-label="Payload">${pretty(payload)}</pre>
        </details>`)}
    <//>`;
}
