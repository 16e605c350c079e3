/** Mock devices: simulated ESP32s; one has a page of its own. */

import { ago, number } from "../core/format.js";
import { nameOfZone } from "../core/names.js";
import { Dialog } from "../ui/dialog.js";
import { DurationField } from "../ui/duration.js";
import { CheckField, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { ZoneField, useDirectory } from "../ui/names.js";
import { Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { MockPage } from "./mock.js";
import { ActuatorFields, SensorFields } from "./mock_fields.js";
import { MockBadge, StartStop } from "./mock_parts.js";
import { t } from "../core/texts.js";

const PATH = "/api/v1/debug/mock-esp";
const ASK_EVERY_MS = 3000;
const FIRMWARES = [["a", "A, January 2026"], ["b", "B, April 2026"]];

export function Mocks({ parts: [espId] }) {
  return espId ? html`<${MockPage} espId=${espId} />` : html`<${MockList} />`;
}

function MockList() {
  const { api } = useApp();
  const [isAdding, add, endAdding] = useDialog();
  const [limit, setLimit] = useState(100);
  const loaded = useLoaded(() => api.get(PATH, { limit }), [limit]);
  const now = useNow();
  const directory = useDirectory();
  useEvery(ASK_EVERY_MS, loaded.reload);
  const mocks = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.mock_devices")}>
      <button type="button" class="primary" onClick=${() => add()}>${t("mocks.create_a_mock")}</button>
    <//>
    <${ListState} loaded=${loaded} count=${mocks.length} empty=${t("mocks.there_is_no_mock_device")} />
    <${Table} label=${t("common.mock_devices")} rows=${mocks} keyOf=${(mock) => mock.esp_id} groupOf=${(mock) => nameOfZone(directory, mock.zone_id)}
      groupKeyOf=${({ zone_id: zoneId }) => zoneId}
      columns=${columns(now, loaded.reload)} />
    <${MoreButton} cursor=${limit < 1000 && loaded.data?.next_cursor} isBusy=${loaded.isLoading}
      onMore=${() => setLimit(1000)} />
    ${isAdding && html`<${CreateDialog} onDone=${loaded.reload} onClose=${endAdding} />`}`;
}

const columns = (now, reload) => [
  {
    name: t("mocks.mock"),
    cell: (mock) => html`
      <a href=${link("mocks", mock.esp_id)}>${mock.esp_id}</a>
      ${mock.name && html`<span class="quiet block">${mock.name}</span>`}`,
  },
  { name: t("common.state"), cell: (mock) => html`<${MockBadge} mock=${mock} />` },
  { name: t("common.firmware"), cell: (mock) => mock.firmware.toUpperCase() },
  { name: t("common.sensors"), cell: (mock) => mock.sensors.length, class: "figure" },
  { name: t("common.actuators"), cell: (mock) => mock.actuators.length, class: "figure" },
  { name: t("mocks.sent"), cell: (mock) => number(mock.messages_sent), class: "figure" },
  { name: t("common.heartbeat"), cell: (mock) => ago(mock.last_heartbeat, now) },
  { name: t("mocks.switch"), cell: (mock) => html`<${StartStop} mock=${mock} onDone=${reload} />`, class: "actions" },
];

function CreateDialog({ onDone, onClose }) {
  const { api, toasts } = useApp();
  const [withActuator, setWithActuator] = useState(false);
  const [create, state] = useAction(async (fields) => {
    const mock = await api.post(PATH, mockOf(fields));
    toasts.say(t("mocks.is_created", { device: mock.esp_id }));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("mocks.create_a_mock")} onClose=${onClose} wide>
      <${Form} onSubmit=${create} submit=${t("mocks.create")} state=${state}>
        <div class="field-grid">
          <${TextField} label=${t("mocks.id_empty_one_is_made")} name="esp_id" maxlength="32" placeholder="MOCK_001" problem=${problem} />
          <${TextField} label=${t("common.name")} name="name" maxlength="100" problem=${problem} />
          <${ZoneField} problem=${problem} />
          <${SelectField} label=${t("common.firmware")} name="firmware" options=${FIRMWARES} problem=${problem} />
          <${DurationField} label=${t("mocks.heartbeat_every")} name="heartbeat_interval_s" usual=${[15, 60, 300]} least=${1} most=${3600} required
            value=${60} problem=${problem} />
        </div>
        <fieldset class="field-grid"><legend>${t("mocks.a_sensor")}</legend><${SensorFields} problem=${problem} /></fieldset>
        <label class="check">
          <input type="checkbox" name="with_actuator" checked=${withActuator}
            onChange=${({ target }) => setWithActuator(target.checked)} /> <span>${t("mocks.with_an_actuator")}</span>
        </label>
        ${withActuator && html`
          <fieldset class="field-grid"><legend>${t("mocks.an_actuator")}</legend>
            <${ActuatorFields} problem=${problem} prefix="actuator_" /></fieldset>`}
        <${CheckField} label=${t("mocks.start_it_now")} name="auto_start" checked />
      <//>
    <//>`;
}

/** The body that creates a mock; more sensors and actuators are added on its page. */
function mockOf({ esp_id, name, zone_id, firmware, heartbeat_interval_s, auto_start, with_actuator, ...fields }) {
  const isOfActuator = ([field]) => field.startsWith("actuator_");
  const actuator = Object.entries(fields).filter(isOfActuator).map(([field, value]) => [field.slice("actuator_".length), value]);
  const sensor = Object.fromEntries(Object.entries(fields).filter((entry) => !isOfActuator(entry)));
  return {
    ...given({ esp_id, name, zone_id, firmware, heartbeat_interval_s, auto_start }),
    sensors: [given(sensor)],
    actuators: with_actuator ? [given(Object.fromEntries(actuator))] : [],
  };
}
