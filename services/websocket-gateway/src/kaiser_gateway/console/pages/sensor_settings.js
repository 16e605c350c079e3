/** The settings of a sensor: calibration, interval, compensation. */

import { path } from "../core/api.js";
import { durationText } from "../core/durations.js";
import { Dialog } from "../ui/dialog.js";
import { Duration } from "../ui/duration.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { ListState, Panel } from "../ui/parts.js";

const USUAL_S = [5, 30, 60, 300];

/** Of a sensor that is not configured; interval_s null: as it does already. */
const DEFAULTS = {
  name: null,
  subzone_id: null,
  active: true,
  raw_mode: true,
  interval_s: null,
  temperature_c: null,
  calibration: { offset: 0, scale: 1, points: [], parameters: {} },
  publish_processed: false,
};

export function SensorSettings({ espId, gpio, sensorType, address, intervalS }) {
  const { api } = useApp();
  const loaded = useLoaded(async () => {
    const { items } = await api.get("/api/v1/sensors", { esp_id: espId, limit: 1000 });
    return items.find((one) => one.gpio === gpio && one.sensor_type === sensorType && one.address === address)
      ?? DEFAULTS;
  }, [espId, gpio, sensorType, address]);
  const url = path`/api/v1/sensors/${espId}/${gpio}/${sensorType}` + (address && `?address=${encodeURIComponent(address)}`);
  return html`
    <${Panel} title="Settings and calibration">
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <${SettingsForm} config=${loaded.data} url=${url} intervalS=${intervalS} onSaved=${loaded.reload} />`}
    <//>`;
}

function SettingsForm({ config, url, intervalS, onSaved }) {
  const { api, directory, toasts } = useApp();
  const [isForgetting, setForgetting] = useState(false);
  const [typedS, setEvery] = useState(undefined);
  const everyS = typedS === undefined ? config.interval_s : typedS;
  const { points, offset, scale, parameters } = config.calibration;
  const [save, state] = useAction(async (fields) => {
    const changes = changesOf(config, { ...settingsOf(fields, parameters), interval_s: everyS ?? config.interval_s });
    if (!Object.keys(changes).length) {
      toasts.say("Nothing was changed.", "info");
      return;
    }
    await api.patch(url, changes);
    toasts.say("Saved; in force from the next reading on.");
    directory.reload();
    onSaved();
  });
  const [forget, forgetting] = useAction(async () => {
    await api.delete(url);
    toasts.say("The settings are removed; raw readings are no longer processed.");
    setForgetting(false);
    onSaved();
  });
  const { problem } = state;
  const point = (index, part) => points[index]?.[part] ?? "";
  return html`
    <${Form} onSubmit=${save} submit="Save" state=${state}>
      <div class="field-grid">
        <${TextField} label="Name" name="name" maxlength="100" value=${config.name ?? ""} problem=${problem} />
        <${TextField} label="Subzone" name="subzone_id" maxlength="64" value=${config.subzone_id ?? ""} problem=${problem} />
        <${NumberField} label="Medium in °C" name="temperature_c" min="-55" max="125"
          value=${config.temperature_c ?? ""} problem=${problem} hint="for compensation" />
      </div>
      <${Duration} label="A reading every" usual=${USUAL_S} value=${everyS} onChange=${setEvery} least=${1} most=${86_400}
        required=${config.interval_s !== null} hint=${config.interval_s === null && intervalS
          ? `Left empty, it goes on as it does: about every ${durationText(Math.round(intervalS))}.` : null} />
      <fieldset class="field-grid">
        <legend>Calibration by two points</legend>
        <${NumberField} label="Raw at point 1" name="raw_1" value=${point(0, 0)} problem=${problem} />
        <${NumberField} label="Value at point 1" name="value_1" value=${point(0, 1)} problem=${problem} />
        <${NumberField} label="Raw at point 2" name="raw_2" value=${point(1, 0)} problem=${problem} />
        <${NumberField} label="Value at point 2" name="value_2" value=${point(1, 1)} problem=${problem} />
        <${NumberField} label="then times" name="scale" required value=${scale} problem=${problem} />
        <${NumberField} label="plus" name="offset" required value=${offset} problem=${problem} />
      </fieldset>
      <${CheckField} label="Active" name="active" checked=${config.active} />
      <${CheckField} label="The device sends raw values, to be processed here" name="raw_mode" checked=${config.raw_mode} />
      <${CheckField} label="Send the processed value back to the device" name="publish_processed"
        checked=${config.publish_processed} />
    <//>
    ${config !== DEFAULTS && html`
      <button type="button" class="danger-outline" onClick=${() => setForgetting(true)}>Forget the settings…</button>`}
    ${isForgetting && html`
      <${Dialog} title="Forget the settings of this sensor?" onClose=${() => setForgetting(false)}>
        <${Form} onSubmit=${forget} submit="Forget" state=${forgetting} danger>
          <p>Its calibration is lost. Its readings stay stored.</p>
        <//>
      <//>`}`;
}

/** The settings that differ: what was not touched stays as it is at the server too. */
const changesOf = (config, settings) =>
  Object.fromEntries(Object.entries(settings).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(config[name])));

/** The settings as the API has them; a point that is half given is sent as it is, so that the answer says what is wrong. */
function settingsOf(fields, parameters) {
  const { raw_1, value_1, raw_2, value_2, scale, offset, ...settings } = fields;
  const points = [[raw_1, value_1], [raw_2, value_2]].filter((point) => point.some((part) => part !== null));
  return { ...settings, calibration: { offset, scale, points, parameters } };
}
