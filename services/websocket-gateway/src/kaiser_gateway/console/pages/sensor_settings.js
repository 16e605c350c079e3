/** The settings of a sensor: calibration, interval, compensation. */

import { path } from "../core/api.js";
import { changesOf } from "../core/changes.js";
import { durationText } from "../core/durations.js";
import { Dialog } from "../ui/dialog.js";
import { Duration } from "../ui/duration.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useLoaded } from "../ui/hooks.js";
import { ListState, Panel } from "../ui/parts.js";
import { t } from "../core/texts.js";

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
    <${Panel} title=${t("sensor_settings.settings_and_calibration")}>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && html`
        <${SettingsForm} config=${loaded.data} url=${url} intervalS=${intervalS} onSaved=${loaded.reload} />`}
    <//>`;
}

function SettingsForm({ config, url, intervalS, onSaved }) {
  const { api, directory, toasts } = useApp();
  const [isForgetting, begin, end] = useDialog();
  const [typedS, setEvery] = useState(undefined);
  const everyS = typedS === undefined ? config.interval_s : typedS;
  const { points, offset, scale, parameters } = config.calibration;
  const [save, state] = useAction(async (fields) => {
    const changes = changesOf(config, { ...settingsOf(fields, parameters), interval_s: everyS ?? config.interval_s });
    if (!Object.keys(changes).length) {
      toasts.say(t("sensor_settings.nothing_was_changed"), "info");
      return;
    }
    await api.patch(url, changes);
    toasts.say(t("common.saved_in_force_from_the"));
    directory.reload();
    onSaved();
  });
  const [forget, forgetting] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("sensor_settings.the_settings_are_removed_raw"));
    end();
    onSaved();
  });
  const { problem } = state;
  const point = (index, part) => points[index]?.[part] ?? "";
  return html`
    <${Form} onSubmit=${save} submit=${t("common.save")} state=${state}>
      <div class="field-grid">
        <${TextField} label=${t("common.name")} name="name" maxlength="100" value=${config.name ?? ""} problem=${problem} />
        <${TextField} label=${t("common.subzone")} name="subzone_id" maxlength="64" value=${config.subzone_id ?? ""} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.medium_in_c")} name="temperature_c" min="-55" max="125"
          value=${config.temperature_c ?? ""} problem=${problem} hint=${t("sensor_settings.for_compensation")} />
      </div>
      <${Duration} label=${t("sensor_settings.a_reading_every")} usual=${USUAL_S} value=${everyS} onChange=${setEvery} least=${1} most=${86_400}
        required=${config.interval_s !== null} hint=${config.interval_s === null && intervalS
          ? t("sensor_settings.left_empty_it_goes_on", { it: durationText(Math.round(intervalS)) }) : null} />
      <fieldset class="field-grid">
        <legend>${t("sensor_settings.calibration_by_two_points")}</legend>
        <${NumberField} label=${t("sensor_settings.raw_at_point_1")} name="raw_1" value=${point(0, 0)} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.value_at_point_1")} name="value_1" value=${point(0, 1)} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.raw_at_point_2")} name="raw_2" value=${point(1, 0)} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.value_at_point_2")} name="value_2" value=${point(1, 1)} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.then_times")} name="scale" required value=${scale} problem=${problem} />
        <${NumberField} label=${t("sensor_settings.plus")} name="offset" required value=${offset} problem=${problem} />
      </fieldset>
      <${CheckField} label=${t("common.active")} name="active" checked=${config.active} />
      <${CheckField} label=${t("sensor_settings.the_device_sends_raw_values")} name="raw_mode" checked=${config.raw_mode} />
      <${CheckField} label=${t("sensor_settings.send_the_processed_value_back")} name="publish_processed"
        checked=${config.publish_processed} />
    <//>
    ${config !== DEFAULTS && html`
      <button type="button" class="danger-outline" onClick=${() => begin()}>${t("common.forget_the_settings")}</button>`}
    ${isForgetting && html`
      <${Dialog} title=${t("sensor_settings.forget_the_settings_of_this")} onClose=${end}>
        <${Form} onSubmit=${forget} submit=${t("common.forget")} state=${forgetting} danger>
          <p>${t("sensor_settings.its_calibration_is_lost_its")}</p>
        <//>
      <//>`}`;
}

/** The settings as the API has them; a point that is half given is sent as it is, so that the answer says what is wrong. */
function settingsOf(fields, parameters) {
  const { raw_1, value_1, raw_2, value_2, scale, offset, ...settings } = fields;
  const points = [[raw_1, value_1], [raw_2, value_2]].filter((point) => point.some((part) => part !== null));
  return { ...settings, calibration: { offset, scale, points, parameters } };
}
