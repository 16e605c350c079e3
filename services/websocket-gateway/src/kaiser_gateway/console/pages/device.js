/** One device: its figures, its settings, and what can be sent to it. */

import { path } from "../core/api.js";
import { ago, duration, number, orNone } from "../core/format.js";
import { summary } from "../core/summaries.js";
import { timeOfDay } from "../core/times.js";
import { changesOf } from "../core/changes.js";
import { Dialog } from "../ui/dialog.js";
import { DurationField } from "../ui/duration.js";
import { CheckField, Form, SelectField, TextField } from "../ui/form.js";
import { html, useApp, useMemo, useState } from "../ui/html.js";
import { useAction, useDialog, useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { ZoneField, ZoneName, useDirectory } from "../ui/names.js";
import { Empty, Facts, Head, ListState, Panel } from "../ui/parts.js";
import { link, useGo } from "../ui/route.js";
import { Chart } from "../ui/chart.js";
import { Decision, DeviceBadge, withHealth } from "./device_parts.js";
import { DeviceParts } from "./parts_of_device.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

/** The system commands without parameters that each firmware generation knows. */
const COMMANDS = {
  A: ["factory_reset"],
  B: ["diagnostics", "status", "get_config", "safe_mode", "exit_safe_mode", "onewire/scan", "factory_reset"],
};
const commandText = (name) => word(name, "system_command");
const HARMLESS = new Set(["diagnostics", "status", "get_config", "onewire/scan"]);
const ANSWERS = new Set(["config_response", "zone_assignment", "system_event"]);
const ANSWERS_KEPT = 20;
const USUAL_TIMEOUTS_S = [60, 300, 900];
const DAY_MS = 86_400_000;

export function DevicePage({ espId }) {
  const { api, session } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/esp/devices/${espId}`), [espId]);
  const [answers, setAnswers] = useState([]);
  const now = useNow();
  const device = loaded.data;
  const directory = useDirectory();

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
      <a href=${link("devices")}>${t("common.all_devices")}</a>
      ${session.may("operator") && html`<a href=${link("inspect", espId)}>${t("device.its_messages")}</a>`}
      ${session.may("operator") && html`<a href=${link("connect", espId)}>${t("device.its_program")}</a>`}
      ${device && html`<${Decision} device=${device} onDone=${loaded.reload} />`}
    <//>
    <${ListState} loaded=${loaded} count=${1} />
    ${device && html`
      <div class="panels">
        <${Panel} title=${t("common.state")}><${Facts} facts=${facts(device, now)} /><//>
        <${DeviceParts} espId=${espId} />
        <${Panel} title=${t("device.its_answer")} class="answers">
          ${answers.length === 0 && html`<${Empty}>${t("device.answers_to_sent_messages_appear")}<//>`}
          <ul>${answers.map((event) => html`
            <li key=${event.seq}><span class="quiet">${timeOfDay(event.timestamp)}</span> ${summary(event, directory)}</li>`)}</ul>
        <//>
        ${session.may("operator") && html`
          <${SendPanel} device=${device} />
          <${ZonePanel} device=${device} />
          <${SettingsPanel} device=${device} onDone=${loaded.reload} />`}
        <${HealthPanel} espId=${espId} />
      </div>`}`;
}

const facts = (device, now) => [
  [t("common.status"), html`<${DeviceBadge} device=${device} />`],
  [t("common.id"), device.esp_id],
  [t("common.name"), orNone(device.name)],
  [t("common.zone"), device.zone_id ? html`<a href=${link("zones", device.zone_id)}><${ZoneName} zoneId=${device.zone_id} /></a>` : null],
  [t("device.site"), device.kaiser_id],
  [t("common.last_seen"), ago(device.last_seen, now)],
  [t("common.running_for"), duration(device.uptime)],
  [t("device.free_memory_2"), device.heap_free === null ? null : `${number(device.heap_free)} B`],
  [t("common.signal"), device.wifi_rssi === null ? null : `${device.wifi_rssi} dBm`],
  [t("device.sensors_actuators"), `${orNone(device.sensor_count)}, ${orNone(device.actuator_count)}`],
  [t("common.hardware"), device.hardware_type],
  [t("common.firmware"), t("device.generation", { firmware_version: orNone(device.firmware_version), generation: device.generation })],
  [t("device.restarts_seen"), number(device.boot)],
  [t("common.address"), orNone(device.ip)],
  [t("device.registered"), when(device.created_at)],
];

function SendPanel({ device }) {
  const { api, toasts } = useApp();
  const [asked, ask, close] = useDialog();
  const url = path`/api/v1/esp/devices/${device.esp_id}/`;
  const [push, pushing] = useAction(async () => {
    await api.post(url + "config", {}, { timeoutMs: 20_000 });
    toasts.say(t("device.the_configuration_was_sent_the"), "info");
  });
  const [send, sending] = useAction(async () => {
    await api.post(url + "command", { command: asked, ...(asked === "factory_reset" && { confirm: true }) });
    toasts.say(t("device.was_sent", { asked: commandText(asked) }), "info");
    close();
  });
  return html`
    <${Panel} title=${t("common.send_3")}>
      <${Form} onSubmit=${push} submit=${t("device.push_configuration")} state=${pushing}>
        <p>${t("device.sends_the_device_its_sensors")}</p>
      <//>
      <${Form} onSubmit=${({ command }) => ask(command)} submit=${t("device.send_command")} state=${{ problem: null, isBusy: false }}>
        <${SelectField} label=${t("device.system_command")} name="command" options=${COMMANDS[device.generation].map((name) => [name, commandText(name)])} />
      <//>
      ${asked && html`
        <${Dialog} title=${t("device.send_to", { asked: commandText(asked), device: device.esp_id })} onClose=${close}>
          <${Form} onSubmit=${send} submit=${t("common.send_2", { asked: commandText(asked) })} state=${sending} danger=${!HARMLESS.has(asked)}>
            <p>${tx("device.it_is_sent_once_a", { it: asked === "factory_reset" && t("device.the_device_forgets_its_network") })}</p>
          <//>
        <//>`}
    <//>`;
}

function ZonePanel({ device }) {
  const { api, toasts } = useApp();
  const [assign, state] = useAction(async ({ zone_id }) => {
    await api.post(path`/api/v1/esp/devices/${device.esp_id}/zone`, { zone_id });
    toasts.say(t("device.the_zone_was_sent_it"), "info");
  });
  return html`
    <${Panel} title=${t("common.zone")}>
      <${Form} onSubmit=${assign} submit=${t("device.assign")} state=${state}>
        <${ZoneField} value=${device.zone_id} problem=${state.problem} />
      <//>
      <p><a href=${link("zones")}>${t("device.zones_are_added")}</a></p>
    <//>`;
}

function SettingsPanel({ device, onDone }) {
  const { api, directory, toasts } = useApp();
  const [isDeleting, begin, end] = useDialog();
  const go = useGo();
  const url = path`/api/v1/esp/devices/${device.esp_id}`;
  const [save, saving] = useAction(async (fields) => {
    await api.patch(url, changesOf(device, fields));
    toasts.say(t("common.saved"));
    directory.reload();
    onDone();
  });
  const [remove, removing] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("common.is_removed", { device: device.esp_id }));
    go("devices");
  });
  return html`
    <${Panel} title=${t("common.settings")}>
      <${Form} onSubmit=${save} submit=${t("common.save")} state=${saving}>
        <${TextField} label=${t("common.name")} name="name" maxlength="100" value=${device.name ?? ""} problem=${saving.problem} />
        <${TextField} label=${t("common.hardware")} name="hardware_type" required maxlength="40" value=${device.hardware_type}
          problem=${saving.problem} />
        <${DurationField} label=${t("device.heartbeat_timeout")} name="heartbeat_timeout_s" usual=${USUAL_TIMEOUTS_S} least=${1} most=${86_400}
          value=${device.heartbeat_timeout_s} problem=${saving.problem} />
      <//>
      <button type="button" class="danger-outline" onClick=${() => begin()}>${t("device.remove_the_device")}</button>
      ${isDeleting && html`
        <${Dialog} title=${t("common.remove_2", { device: device.esp_id })} onClose=${end}>
          <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${removing} danger>
            <p>${t("device.from_then_on_its_messages")}</p>
            <${CheckField} label=${t("device.yes_remove_it")} name="sure" required />
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
    return [{ name: t("device.free_memory"), unit: "KiB", columns: [buckets.map(({ ts }) => ts / 1000), free, free, free] }];
  }, [loaded.data]);
  const words = t("common.points", { n: buckets.length });
  return html`
    <${Panel} title=${t("device.free_memory_last_day")} class="wide-panel">
      <${ListState} loaded=${loaded} count=${buckets.length} empty=${t("device.no_heartbeat_came_in_the")} />
      ${buckets.length > 0 && html`
        <${Chart} label=${t("device.free_memory_in_kib_over")} lines=${lines} shown=${shown} words=${words} />`}
    <//>`;
}
