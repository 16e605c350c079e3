/** One mock device: its sensors with their overrides, its actuators, its faults, what it sent and received. */

import { path } from "../core/api.js";
import { actuatorState, ago, duration, number, orNone, pretty } from "../core/format.js";
import { timeOfDay } from "../core/times.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, SelectField, given } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { Badge, Facts, Head, ListState, Panel, ProblemNotice } from "../ui/parts.js";
import { link, useGo } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { MockFaults } from "./mock_faults.js";
import { ActuatorFields, SensorFields } from "./mock_fields.js";
import { MockBadge, StartStop } from "./mock_parts.js";
import { t, tx, word } from "../core/texts.js";

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
      <a href=${link("mocks")}>${t("mock.all_mocks")}</a>
      ${mock && html`<${StartStop} mock=${mock} onDone=${loaded.reload} />`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${mock && html`
      <div class="panels">
        <${Panel} title=${t("common.state")}>
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
  [t("common.state"), html`<${MockBadge} mock=${mock} />`],
  [t("common.device"), html`<a href=${link("devices", mock.esp_id)}>${mock.registered ? t("mock.registered") : t("mock.not_registered_yet")}</a>`],
  ["MQTT", mock.connected ? t("mock.connected") : t("common.not_connected")],
  [t("common.firmware"), t("mock.generation", { firmware: mock.firmware.toUpperCase(), it: mock.acknowledged ? "" : t("mock.not_acknowledged_yet") })],
  [t("common.zone"), orNone(mock.zone_id)],
  [t("common.running_for"), duration(mock.uptime_s)],
  [t("common.heartbeat"), ago(mock.last_heartbeat, now)],
  [t("mock.messages_sent"), number(mock.messages_sent)],
];

function Controls({ mock, url, onDone }) {
  const { api, toasts } = useApp();
  const [isRemoving, begin, end] = useDialog();
  const go = useGo();
  const isStopped = mock.emergency === "active";
  const [setState, setting] = useAction(async ({ state }) => {
    await api.post(`${url}/state`, { state });
    onDone();
  });
  const [act, acting] = useAction(async (what, body) => {
    await api.post(`${url}/${what}`, body);
    toasts.say(what === "heartbeat" ? t("mock.heartbeat_sent") : t("mock.done"));
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("common.is_removed", { device: mock.esp_id }));
    go("mocks");
  });
  return html`
    <${Form} onSubmit=${setState} submit=${t("mock.set")} state=${setting}>
      <${SelectField} label=${t("mock.set_its_state")} name="state" options=${STATES.map((state) => [state, word(state, "mock")])} value="OPERATIONAL" />
    <//>
    <${Form} onSubmit=${() => act("heartbeat")} submit=${t("mock.send_a_heartbeat_now")} state=${acting} />
    <div class="buttons">
      <${Button} isBusy=${acting.isBusy} onClick=${() => act("emergency", { action: isStopped ? "clear" : "stop_all" })}>
        ${isStopped ? t("mock.release_its_red_button") : t("mock.press_its_red_button")}<//>
      <button type="button" class="danger-outline" onClick=${() => begin()}>${t("common.remove_4")}</button>
    </div>
    ${isRemoving && html`
      <${Dialog} title=${t("common.remove_2", { device: mock.esp_id })} onClose=${end}>
        <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${removing} danger><p>${t("mock.what_it_sent_stays_stored")}</p><//>
      <//>`}`;
}

function Sensors({ mock, url, onDone }) {
  const { api, toasts } = useApp();
  const [overriding, override, endOverriding] = useDialog();
  const [isAdding, begin, end] = useDialog();
  const [add, adding] = useAction(async (fields) => {
    await api.post(`${url}/sensors`, given(fields));
    end();
    onDone();
  });
  const [release, releasing] = useAction(async (sensor) => {
    await api.delete(valueUrl(url, sensor));
    toasts.say(t("mock.gpio_measures_by_its_pattern", { gpio: sensor.gpio }));
    onDone();
  });
  const columns = [
    { name: t("common.sensor"), cell: ({ sensor_type: type, gpio }) => html`${type} <span class="quiet">${tx("mock.on_gpio", { gpio })}</span>` },
    { name: t("mock.last_value"), cell: ({ last_value: value, unit }) => `${number(value)} ${unit}`, class: "figure" },
    {
      name: t("common.pattern"),
      cell: ({ variation_pattern: pattern, variation_range: range, interval_s: seconds }) =>
        t("mock.every_s", { pattern, range: number(range), seconds: number(seconds) }),
    },
    {
      name: t("mock.override"),
      class: "actions",
      cell: (sensor) => html`
        ${sensor.override !== null && html`<${Badge} kind="warn">${number(sensor.override)}<//>`}
        <button type="button" onClick=${() => override(sensor)}>${t("mock.override_2")}</button>
        ${sensor.override !== null && html`<${Button} isBusy=${releasing.isBusy} onClick=${() => release(sensor)}>${t("mock.release")}<//>`}`,
    },
  ];
  return html`
    <${Panel} title=${t("common.sensors")} class="wide-panel">
      <${Table} label=${t("mock.sensors_of_the_mock")} rows=${mock.sensors} columns=${columns}
        keyOf=${({ gpio, sensor_type: type }) => `${gpio}/${type}`} />
      <${ProblemNotice} problem=${releasing.problem} />
      <button type="button" onClick=${() => begin()}>${t("mock.add_a_sensor")}</button>
      ${isAdding && html`
        <${Dialog} title=${t("mock.add_a_sensor")} onClose=${end} wide>
          <${Form} onSubmit=${add} submit=${t("common.add")} state=${adding}>
            <div class="field-grid"><${SensorFields} problem=${adding.problem} /></div>
          <//>
        <//>`}
      ${overriding && html`
        <${OverrideDialog} sensor=${overriding} url=${url} onDone=${onDone} onClose=${endOverriding} />`}
    <//>`;
}

const valueUrl = (url, { gpio, sensor_type: type }) =>
  `${url}/sensors/${gpio}/value?${new URLSearchParams({ sensor_type: type })}`;

function OverrideDialog({ sensor, url, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [override, state] = useAction(async ({ value, publish }) => {
    await api.post(valueUrl(url, sensor), { value, publish });
    toasts.say(t("mock.gpio_measures_until_it_is", { gpio: sensor.gpio, value: number(value) }));
    onDone();
    onClose();
  });
  return html`
    <${Dialog} title=${t("mock.override_on_gpio", { sensor_type: sensor.sensor_type, gpio: sensor.gpio })} onClose=${onClose}>
      <${Form} onSubmit=${override} submit=${t("mock.override")} state=${state}>
        <${NumberField} label=${t("mock.value_in", { it: sensor.unit || t("mock.its_unit") })} name="value" required problem=${state.problem}
          value=${sensor.override ?? sensor.last_value ?? sensor.base_value} />
        <${CheckField} label=${t("mock.send_a_reading_now")} name="publish" checked />
      <//>
    <//>`;
}

function Actuators({ mock, url, onDone }) {
  const { api } = useApp();
  const [isAdding, begin, end] = useDialog();
  const [add, adding] = useAction(async (fields) => {
    await api.post(`${url}/actuators`, given(fields));
    end();
    onDone();
  });
  return html`
    <${Panel} title=${t("common.actuators")} class="wide-panel">
      <${Table} label=${t("mock.actuators_of_the_mock")} rows=${mock.actuators} columns=${ACTUATORS} keyOf=${({ gpio }) => gpio} />
      <button type="button" onClick=${() => begin()}>${t("mock.add_an_actuator")}</button>
      ${isAdding && html`
        <${Dialog} title=${t("mock.add_an_actuator")} onClose=${end}>
          <${Form} onSubmit=${add} submit=${t("common.add")} state=${adding}><${ActuatorFields} problem=${adding.problem} /><//>
        <//>`}
    <//>`;
}

const ACTUATORS = [
  { name: t("common.actuator"), cell: ({ actuator_type: type, gpio }) => html`${type} <span class="quiet">${tx("mock.on_gpio", { gpio })}</span>` },
  { name: t("common.state"), cell: (one) => html`<${Badge} kind=${one.state ? "good" : "idle"}>${actuatorState(one)}<//>` },
  { name: t("mock.last_command"), cell: ({ last_command: command }) => orNone(command) },
  { name: t("mock.error"), cell: ({ error }) => orNone(error) },
];

function Messages({ url }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(`${url}/messages`, { limit: 20 }), [url]);
  const messages = loaded.data?.items ?? [];
  return html`
    <${Panel} title=${t("mock.last_messages")} class="wide-panel">
      <${Form} onSubmit=${loaded.reload} submit=${t("common.look_again")} state=${IDLE} />
      <${ListState} loaded=${loaded} count=${messages.length} empty=${t("mock.it_has_sent_and_received")} />
      ${messages.map(({ at, direction, topic, payload }, index) => html`
        <details class="message" key=${index}>
          <summary>${timeOfDay(at / 1000)} ${direction} <span class="topic">${topic}</span></summary>
          <pre tabindex="0" aria-label=${t("common.payload")}>${pretty(payload)}</pre>
        </details>`)}
    <//>`;
}
