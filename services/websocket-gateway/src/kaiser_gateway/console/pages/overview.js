/** Overview: what is wrong now, and every zone with its sensors and actuators. */

import { lastKnown, number, sensorValue } from "../core/format.js";
import { actuatorName, sensorName } from "../core/names.js";
import { sensorKey } from "../core/keys.js";
import { needsReload, sensorPage, sparkline, troublesOf, withEvents, zonesOf } from "../core/overview.js";
import { html, useApp, useMemo, useRef } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow, useStore } from "../ui/hooks.js";
import { Badge, Empty, Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { StateBadge } from "./actuator_parts.js";
import { QualityBadge } from "./quality.js";
import { t, word } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 30_000;
const DRAWN_EVERY_MS = 1000;
const MOST_WAITING = 20_000;
const WIDTH = 140;
const HEIGHT = 30;

export function OverviewPage() {
  const { api, emergencies } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/overview"), [useStore(emergencies.current)]);
  const now = useNow(DRAWN_EVERY_MS);
  const waiting = useRef([]);
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  useEvents((batch) => {
    waiting.current = [...waiting.current, ...batch].slice(-MOST_WAITING);
  });
  useEvery(DRAWN_EVERY_MS, () => {
    const batch = waiting.current;
    if (!batch.length || !loaded.data) return;
    waiting.current = [];
    loaded.setData((overview) => withEvents(overview, batch));
    if (needsReload(loaded.data, batch)) loaded.reloadSoon();
  });

  const overview = loaded.data;
  const zones = useMemo(() => (overview ? zonesOf(overview, now) : []), [overview, now]);
  return html`
    <${Head} title=${t("common.overview")} />
    <${ListState} loaded=${loaded} count=${1} />
    ${overview && html`<${Truth} overview=${overview} now=${now} />`}
    ${overview && !overview.devices.length && !overview.missing.length && html`
      <${Empty}>${t("overview.no_device_is_known_yet")}<//>`}
    ${overview && !overview.complete && html`<p class="quiet">${t("overview.there_are_more_devices_than")}</p>`}
    ${zones.map((zone) => html`<${Zone} key=${zone.id} zone=${zone} now=${now} />`)}`;
}

/** One line: what is wrong, each part a link; or that nothing is. */
function Truth({ overview, now }) {
  const troubles = troublesOf(overview, now);
  if (!troubles.length) {
    const { devices, sensors } = overview;
    return html`<p class="truth truth-good" role="status">
      <${Badge} kind="good">${t("common.all_is_well")}<//> ${t("overview.devices", { n: devices.length })} ${t("overview.sensors", { n: sensors.length })}</p>`;
  }
  return html`
    <p class="truth" role="status">
      ${troubles.map(({ text, kind, page }) => html`
        <a key=${text} href=${link(...page)} class="truth-part"><${Badge} kind=${kind}>${text}<//></a>`)}
    </p>`;
}

function Zone({ zone, now }) {
  const names = new Map(zone.devices.map(({ device }) => [device.esp_id, device.name || device.esp_id]));
  const nameOf = ({ esp_id: espId }) => names.get(espId) ?? espId;
  const away = zone.devices.filter(({ rank }) => rank > 0);
  return html`
    <section class="zone" aria-label=${zone.name || t("common.no_zone")}>
      <h2>${zone.id ? html`<a href=${link("zones", zone.id)}>${zone.name}</a>` : t("common.no_zone")}</h2>
      ${away.length > 0 && html`
        <p class="chips">
          ${away.map(({ device }) => html`
            <a class="chip" key=${device.esp_id} href=${link("devices", device.esp_id)}>
              ${device.name ?? device.esp_id}
              <${Badge} kind=${device.state === "pending" ? "info" : "bad"}>${device.state === "pending" ? t("overview.waiting_for_approval") : word("offline")}<//>
            </a>`)}
        </p>`}
      <ul class="tiles">
        ${zone.sensors.map((one) => tileOf(one, nameOf(one.sensor)))}
        ${zone.actuators.map(({ actuator, failure, rank }) => html`
          <li key=${`${actuator.esp_id}/${actuator.gpio}`}>
            <a class=${`tile ${rank ? "tile-warn" : ""}`} href=${link("actuators", actuator.esp_id, actuator.gpio)}>
              <span class="tile-name">${actuatorName(actuator)}</span>
              <span class="tile-name quiet">${nameOf(actuator)}</span>
              <span><${StateBadge} actuator=${actuator} nowMs=${now} /></span>
              ${actuator.last_error && html`<span class="field-problem">${actuator.last_error}</span>`}
              ${failure && html`<span class="field-problem">${failure}</span>`}
            </a>
          </li>`)}
      </ul>
    </section>`;
}

const tiles = new WeakMap();

/** The tile of a sensor; the one drawn before where nothing of it changed, which costs nothing to draw. */
function tileOf({ sensor, knowledge, limit, rank }, device) {
  const state = `${knowledge.state} ${knowledge.until} ${limit?.name} ${device}`;
  const before = tiles.get(sensor);
  if (before?.state === state) return before.tile;
  const tile = html`<li key=${sensorKey(sensor)}><${SensorTile} sensor=${sensor} device=${device} knowledge=${knowledge} limit=${limit} rank=${rank} /></li>`;
  tiles.set(sensor, { state, tile });
  return tile;
}

function SensorTile({ sensor, device, knowledge, limit, rank }) {
  const isKnown = knowledge.state === "known";
  const name = sensorName(sensor);
  const day = sparkline(sensor, WIDTH, HEIGHT);
  const range = t("overview.to", { lowest: short(day.lowest), highest: short(day.highest), it: sensor.unit ?? "" }).trim();
  return html`
    <a class=${`tile ${rank > 2 ? "tile-bad" : rank ? "tile-warn" : ""}`} href=${link(...sensorPage(sensor))}>
      <span class="tile-name">${name}</span>
      <span class="tile-value">
        ${isKnown && html`<strong>${sensorValue(sensor)}</strong>`}
        ${limit && html`<${Badge} kind=${limit.severity === "critical" ? "bad" : "warn"}>${limit.name}<//>`}
        ${(!isKnown || (rank > 0 && !limit)) && html`<${QualityBadge} quality=${sensor.quality} knowledge=${knowledge} />`}
        ${day.lowest !== null && html`<${Spark} day=${day} />`}
      </span>
      ${!isKnown && html`<span class="quiet">${lastKnown(sensorValue(sensor), knowledge.until)}</span>`}
      <span class="tile-name quiet">
        ${day.lowest !== null && html`<span class="for-screen-readers">${t("overview.in_24_hours")} </span>${range}, `}${device}
      </span>
    </a>`;
}

const Spark = ({ day }) => html`
  <svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
    <path class="spark-band" d=${day.band} /><path class="spark-line" d=${day.line} />
    ${day.dots.map(([x, y]) => html`<circle cx=${x} cy=${y} r="2" />`)}
  </svg>`;

/** Three digits, for a small place. */
const short = (figure) => number(figure === null ? null : Number(figure.toPrecision(3)));
