/** One sensor: its history with the live tail, and its settings. */

import { ago } from "../core/format.js";
import { knowledgeOf, withOffline } from "../core/known.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { Facts, Head, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { LimitsButton } from "./alarm_parts.js";
import { History } from "./history.js";
import { QualityBadge, valueText } from "./quality.js";
import { SensorSettings } from "./sensor_settings.js";

export function SensorPage({ espId, gpio, sensorType, address }) {
  const { api, session } = useApp();
  const [news, setNews] = useState(null);
  const [offline, setOffline] = useState(() => new Map());
  const isSensor = (data) =>
    data.esp_id === espId && data.gpio === gpio && data.sensor_type === sensorType && (data.address ?? "") === address;
  const stored = useLoaded(async () => {
    const { items } = await api.get("/api/v1/sensors/latest", { esp_id: espId, address });
    return items.find(isSensor) ?? null;
  }, [espId, gpio, sensorType, address]);
  const now = useNow();

  useEvents((batch) => {
    const news = batch.findLast(({ type, data }) => type === "sensor_data" && isSensor(data));
    if (news) setNews(news.data);
    setOffline((old) => withOffline(old, batch));
  });

  const intervalS = stored.data?.interval_s;
  const newest = news ? { ...news, interval_s: intervalS } : stored.data;
  const knowledge = newest && knowledgeOf(newest, offline, now);
  return html`
    <${Head} title=${`${sensorType} on gpio ${gpio}${address && ` at ${address}`}`}><a href=${link("sensors")}>All sensors</a><//>
    <${Facts} facts=${[
      ["Device", html`<a href=${link("devices", espId)}>${espId}</a>`],
      ["Value", newest ? html`<strong class="now">${valueText(newest, knowledge)}</strong>` : "no reading yet"],
      ["Quality", newest && html`<${QualityBadge} quality=${newest.quality} knowledge=${knowledge} />`],
      ["Taken", newest && ago(newest.ts, now)],
    ]} />
    <${Panel} title="History">
      <${History} sensor=${{ esp_id: espId, gpio, sensor_type: sensorType, address }} unit=${newest?.unit ?? ""}
        intervalMs=${intervalS ? intervalS * 1000 : null} label=${`Values of ${sensorType} on gpio ${gpio} of ${espId}`} />
      <p><${LimitsButton} unit=${newest?.unit ?? ""} sensor=${{ esp_id: espId, gpio, sensor_type: sensorType, address }} /></p>
    <//>
    ${session.may("operator") && html`
      <${SensorSettings} espId=${espId} gpio=${gpio} sensorType=${sensorType} address=${address} />`}`;
}
