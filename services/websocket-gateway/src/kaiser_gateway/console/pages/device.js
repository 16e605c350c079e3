/** One device: its figures, its settings, and what can be sent to it. */

import { path } from "../core/api.js";
import { ago, duration, number, orNone, summary } from "../core/format.js";
import { timeOfDay } from "../core/times.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useMemo, useState } from "../ui/html.js";
import { useAction, useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Empty, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Chart } from "../ui/chart.js";
import { Decision, DeviceBadge, withHealth } from "./device_parts.js";
import { DeviceParts } from "./parts_of_device.js";
import { when } from "../ui/time.js";

/** The system commands without parameters that each firmware generation knows. */
const COMMANDS = {
  A: ["factory_reset"],
  B: ["diagnostics", "status", "get_config", "safe_mode", "exit_safe_mode", "onewire/scan", "factory_reset"],
};
const HARMLESS = new Set(["diagnostics", "status", "get_config", "onewire/scan"]);
const ANSWERS = new Set(["config_response", "zone_assignment", "system_event"]);
const ANSWERS_KEPT = 20;
const DAY_MS = 86_400_000;

export function DevicePage({ espId }) {
  const { api, session } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/esp/devices/${espId}`), [espId]);
  const [answers, setAnswers] = useState([]);
  const now = useNow();
  const device = loaded.data;

  useEvents((batch) => {
    const mine = batch.filter(({ data }) => data.esp_id === espId);
    const health = new Map(mine.filter(({ type }) => type === "esp_health").map(({ data }) => [espId, data]));
    const answered = mine.filter(({ type }) => ANSWERS.has(type));
    if (health.size) loaded.setData((old) => withHealth(old, health));
    if (answered.length) {
      setAnswers((old) => [...answered.reverse(), ...old].slice(0, ANSWERS_KEPT));
      loaded.reloadSoon();
    }
  });

  return html`
    <${Head} title=${device?.name || espId}>
      <a href=${link("devices")}>All devices</a>
      ${session.may("operator") && html`<a href=${link("connect", espId)}>Its program</a>`}
      ${device && html`<${Decision} device=${device} onDone=${loaded.reload} />`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${device && html`
      <div class="panels">
        <${Panel} title="State"><${Facts} facts=${facts(device, now)} /><//>
        <${DeviceParts} espId=${espId} />
        <${Panel} title="Its answer" class="answers">
          ${answers.length === 0 && html`<${Empty}>Answers to sent messages appear here.<//>`}
          <ul>${answers.map((event) => html`
            <li key=${event.seq}><span class="quiet">${timeOfDay(event.timestamp)}</span> ${summary(event)}</li>`)}</ul>
        <//>
        ${session.may("operator") && html`
          <${SendPanel} device=${device} />
          <${ZonePanel} device=${device} />
          <${SettingsPanel} device=${device} onDone=${loaded.reload} />`}
        <${HealthPanel} espId=${espId} />
      </div>`}`;
}

const facts = (device, now) => [
  ["Status", html`<${DeviceBadge} device=${device} />`],
  ["Id", device.esp_id],
  ["Name", orNone(device.name)],
  ["Zone", device.zone_id ? html`<a href=${link("zones", device.zone_id)}>${device.zone_id}</a>` : null],
  ["Site", device.kaiser_id],
  ["Last seen", ago(device.last_seen, now)],
  ["Running for", duration(device.uptime)],
  ["Free memory", device.heap_free === null ? null : `${number(device.heap_free)} B`],
  ["Signal", device.wifi_rssi === null ? null : `${device.wifi_rssi} dBm`],
  ["Sensors, actuators", `${orNone(device.sensor_count)}, ${orNone(device.actuator_count)}`],
  ["Hardware", device.hardware_type],
  ["Firmware", `${orNone(device.firmware_version)}, generation ${device.generation}`],
  ["Restarts seen", number(device.boot)],
  ["Address", orNone(device.ip)],
  ["Registered", when(device.created_at)],
];

function SendPanel({ device }) {
  const { api, toasts } = useApp();
  const [asked, setAsked] = useState(null);
  const url = path`/api/v1/esp/devices/${device.esp_id}/`;
  const [push, pushing] = useAction(async () => {
    await api.post(url + "config", {}, { timeoutMs: 20_000 });
    toasts.say("The configuration was sent; the answer appears on this page.", "info");
  });
  const [send, sending] = useAction(async () => {
    await api.post(url + "command", { command: asked, ...(asked === "factory_reset" && { confirm: true }) });
    toasts.say(`${asked} was sent.`, "info");
    setAsked(null);
  });
  return html`
    <${Panel} title="Send">
      <${Form} onSubmit=${push} submit="Push configuration" state=${pushing}>
        <p>Sends the device its sensors and actuators as they are set up here.</p>
      <//>
      <${Form} onSubmit=${({ command }) => setAsked(command)} submit="Send command…" state=${{ problem: null, isBusy: false }}>
        <${SelectField} label="System command" name="command" options=${COMMANDS[device.generation]} />
      <//>
      ${asked && html`
        <${Dialog} title=${`Send ${asked} to ${device.esp_id}?`} onClose=${() => setAsked(null)}>
          <${Form} onSubmit=${send} submit=${`Send ${asked}`} state=${sending} danger=${!HARMLESS.has(asked)}>
            <p>It is sent once; a device that is offline does not get it later.
              ${asked === "factory_reset" && " The device forgets its network, its configuration and its zone."}</p>
          <//>
        <//>`}
    <//>`;
}

function ZonePanel({ device }) {
  const { api, toasts } = useApp();
  const { zones } = useDirectory();
  const [assign, state] = useAction(async ({ zone_id, zone_name }) => {
    await api.post(path`/api/v1/esp/devices/${device.esp_id}/zone`, { zone_id, ...given({ zone_name }) });
    toasts.say("The zone was sent; it takes effect when the device acknowledges it.", "info");
  });
  return html`
    <${Panel} title="Zone">
      <${Form} onSubmit=${assign} submit="Assign" state=${state}>
        <${TextField} label="Zone id (empty: no zone)" name="zone_id" maxlength="64" value=${device.zone_id ?? ""}
          list="zones" hint="one of the list, or a new one" problem=${state.problem} />
        <datalist id="zones">${zones.map((zone) => html`<option key=${zone} value=${zone} />`)}</datalist>
        <${TextField} label="Zone name" name="zone_name" maxlength="100" problem=${state.problem} />
      <//>
    <//>`;
}

function SettingsPanel({ device, onDone }) {
  const { api, directory, toasts } = useApp();
  const [isDeleting, setDeleting] = useState(false);
  const url = path`/api/v1/esp/devices/${device.esp_id}`;
  const [save, saving] = useAction(async (fields) => {
    await api.patch(url, given(fields));
    toasts.say("Saved.");
    directory.reload();
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(`${device.esp_id} is removed.`);
    location.hash = link("devices");
  });
  return html`
    <${Panel} title="Settings">
      <${Form} onSubmit=${save} submit="Save" state=${saving}>
        <${TextField} label="Name" name="name" maxlength="100" value=${device.name ?? ""} problem=${saving.problem} />
        <${TextField} label="Hardware" name="hardware_type" maxlength="40" value=${device.hardware_type}
          problem=${saving.problem} />
        <${NumberField} label="Heartbeat timeout in s" name="heartbeat_timeout_s" min="1" max="86400" step="1"
          value=${device.heartbeat_timeout_s ?? ""} problem=${saving.problem} />
      <//>
      <button type="button" class="danger-outline" onClick=${() => setDeleting(true)}>Remove the device…</button>
      ${isDeleting && html`
        <${Dialog} title=${`Remove ${device.esp_id}?`} onClose=${() => setDeleting(false)}>
          <${Form} onSubmit=${remove} submit="Remove" state=${removing} danger>
            <p>From then on its messages are rejected. What it sent stays stored.</p>
            <${CheckField} label="Yes, remove it" name="sure" required />
          <//>
        <//>`}
    <//>`;
}

function HealthPanel({ espId }) {
  const { api } = useApp();
  const shown = useMemo(() => [Date.now() - DAY_MS, Date.now()], [espId]);
  const query = { from: shown[0], bucket_s: 600 };
  const loaded = useLoaded(() => api.get(path`/api/v1/esp/devices/${espId}/health`, query), [espId]);
  const buckets = loaded.data?.items ?? [];
  const lines = useMemo(() => {
    const free = buckets.map(({ heap_free: bytes }) => (bytes === null ? null : bytes / 1024));
    return [{ name: "free memory", unit: "KiB", columns: [buckets.map(({ ts }) => ts / 1000), free, free, free] }];
  }, [loaded.data]);
  const words = buckets.length === 1 ? "1 point" : `${buckets.length} points`;
  return html`
    <${Panel} title="Free memory, last day" class="wide-panel">
      <${ListState} loaded=${loaded} count=${buckets.length} empty="No heartbeat came in the last day." />
      ${buckets.length > 0 && html`
        <${Chart} label="Free memory in KiB over the last day" lines=${lines} shown=${shown} words=${words} />`}
    <//>`;
}
