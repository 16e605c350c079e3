/** One sensor: its history with the live tail, and its settings. */

import { ago } from "../core/format.js";
import { knowledgeOf, withOffline } from "../core/known.js";
import { sensorName } from "../core/names.js";
import { sensorKey } from "../core/keys.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { DeviceLink, useDirectory } from "../ui/names.js";
import { Facts, Head, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { LimitsButton } from "./alarm_parts.js";
import { History } from "./history.js";
import { QualityBadge, valueText } from "./quality.js";
import { SensorSettings } from "./sensor_settings.js";
import { t } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 3000;

export function SensorPage({ espId, gpio, sensorType, address }) {
  const { api, session } = useApp();
  const [live, setLive] = useState(null);
  const [offline, setOffline] = useState(() => new Map());
  const isSensor = (data) =>
    data.esp_id === espId && data.gpio === gpio && data.sensor_type === sensorType && (data.address ?? "") === address;
  const stored = useLoaded(async () => {
    const { items } = await api.get("/api/v1/sensors/latest", { esp_id: espId, address });
    return items.find(isSensor) ?? null;
  }, [espId, gpio, sensorType, address]);
  // A sensor's newest value is written once a second: that of a new sensor may come after this page has asked for it.
  useEvery(LOOK_AGAIN_EVERY_MS, () => !live && stored.data === null && stored.reload());
  const now = useNow();

  useEvents((batch) => {
    const event = batch.findLast(({ type, data }) => type === "sensor_data" && isSensor(data));
    if (event) setLive(event.data);
    setOffline((old) => withOffline(old, batch));
  });

  const intervalS = stored.data?.interval_s;
  const newest = live ? { ...live, interval_s: intervalS } : stored.data;
  const knowledge = newest && knowledgeOf(newest, offline, now);
  const sensor = { esp_id: espId, gpio, sensor_type: sensorType, address };
  const name = useDirectory().sensors.get(sensorKey(sensor))?.name;
  return html`
    <${Head} title=${sensorName({ ...sensor, name })}><a href=${link("sensors")}>${t("sensor.all_sensors")}</a><//>
    <${Facts} facts=${[
      [t("common.device"), html`<${DeviceLink} espId=${espId} />`],
      [t("common.sensor"), sensorName(sensor)],
      [t("common.value"), newest ? html`<strong class="now">${valueText(newest, knowledge)}</strong>` : t("sensor.no_reading_yet")],
      [t("common.quality"), newest && html`<${QualityBadge} quality=${newest.quality} knowledge=${knowledge} />`],
      [t("common.taken"), newest && ago(newest.ts, now)],
    ]} />
    <${Panel} title=${t("common.history")}>
      <${History} sensor=${sensor} unit=${newest?.unit ?? ""}
        intervalMs=${intervalS ? intervalS * 1000 : null} label=${t("sensor.values_of_on_gpio_of", { sensorType, gpio, device: espId })} />
      <p><${LimitsButton} unit=${newest?.unit ?? ""} sensor=${sensor} /></p>
    <//>
    ${session.may("operator") && html`
      <${SensorSettings} espId=${espId} gpio=${gpio} sensorType=${sensorType} address=${address}
        intervalS=${intervalS ?? null} />`}`;
}
