/** Sensors: the newest value of each, live; one sensor has a page of its own. */

import { ago, number, orNone } from "../core/format.js";
import { knowledgeOf, withOffline } from "../core/known.js";
import { allOf, asQuery, filterParts, isList } from "../core/list_filters.js";
import { nameOfZone, sensorName, whereOf } from "../core/names.js";
import { sensorKey } from "../core/keys.js";
import { TypeFilter, ZoneFilter, useFilters } from "../ui/filters.js";
import { Field, SelectField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { DeviceLink, useDirectory } from "../ui/names.js";
import { Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { QualityBadge, valueText } from "./quality.js";
import { SensorPage } from "./sensor.js";
import { t, tx, word } from "../core/texts.js";

const MOST_SHOWN = 300;
const LOOK_AGAIN_EVERY_MS = 30_000;

export function Sensors({ parts }) {
  const [espId, gpio, sensorType, address = ""] = parts;
  if (isList(parts) || !sensorType) return html`<${SensorList} parts=${parts} />`;
  return html`<${SensorPage} espId=${espId} gpio=${Number(gpio)} sensorType=${sensorType} address=${address} />`;
}

const keyOf = ({ esp_id: espId, gpio, sensor_type: sensorType, address = "" }) =>
  `${espId}/${gpio}/${sensorType}${address && `/${address}`}`;

const FILTERS = ["state", "zone_id", "sensor_type"];
const SHOWN = ["known", "silent", "offline"];
const STATES = [["", word("all")], ...SHOWN.map((state) => [state, word(state)]), ["bad", t("sensors.known_and_bad")]];

function SensorList({ parts }) {
  const { api } = useApp();
  const [text, setText] = useState("");
  const [filters, change] = useFilters("sensors", parts, FILTERS);
  const isNarrowed = filterParts(filters).length > 0;
  const ask = (cursor) => api.get("/api/v1/sensors/latest", { ...asQuery(filters), cursor });
  const loaded = useLoaded(() => (isNarrowed ? allOf(ask) : ask(null)), [filters]);
  const [offline, setOffline] = useState(() => new Map());
  const directory = useDirectory();
  const now = useNow();
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload); // for what was reported before this page was there, and stored after

  useEvents((batch) => {
    const readings = new Map(batch.filter(({ type }) => type === "sensor_data").map(({ data }) => [keyOf(data), data]));
    setOffline((old) => withOffline(old, batch));
    if (readings.size) loaded.setData(({ items }) => ({ items: withReadings(items, readings, isNarrowed) }));
  });

  const named = (reading) => ({ ...reading, name: directory.sensors.get(sensorKey(reading))?.name });
  const said = (reading) => `${keyOf(reading)} ${reading.name ?? ""} ${whereOf(directory, reading.esp_id)}`.toLowerCase();
  const found = (loaded.data?.items ?? []).map(named).filter((reading) => said(reading).includes(text.toLowerCase()));
  const shown = found.slice(0, MOST_SHOWN);
  return html`
    <${Head} title=${t("common.sensors")} />
    <div class="filter-fields">
      <${SelectField} label=${t("common.state")} name="state" options=${STATES} value=${filters.state}
        onChange=${({ target }) => change({ state: target.value })} />
      <${ZoneFilter} value=${filters.zone_id} onChange=${change} />
      <${TypeFilter} name="sensor_type" label=${t("common.sensor_type")} value=${filters.sensor_type} onChange=${change}
        maxlength="64" known=${[...directory.sensors.values()].map(({ sensor_type: type }) => type)} />
      <${Field} label=${t("common.search_name_zone_device_or")} name="text">
        <input type="search" name="text" onInput=${({ target }) => setText(target.value.trim())} />
      <//>
    </div>
    <${ListState} loaded=${loaded} count=${found.length} empty=${t("sensors.no_stored_reading_matches")} />
    <${Table} label=${t("sensors.newest_readings")} rows=${shown} keyOf=${keyOf} groupOf=${(reading) => nameOfZone(directory, reading.zone_id)}
      groupKeyOf=${({ zone_id: zoneId }) => zoneId}
      columns=${columns(now, (reading) => knowledgeOf(reading, offline, now))} />
    ${found.length > shown.length && html`
      <p class="quiet">${tx("sensors.of_sensors_are_shown_search", { length: shown.length, length2: found.length })}</p>`}`;
}

/** The list with newer readings in their places, and, if it is not narrowed, with sensors that were not there yet at its
 * end. */
function withReadings(items, readings, isNarrowed) {
  const known = new Set(items.map(keyOf));
  const changed = items.map((item) => newer(item, readings.get(keyOf(item))));
  if (isNarrowed) return changed;
  return [...changed, ...[...readings.values()].filter((reading) => !known.has(keyOf(reading)))];
}

/** By when they were received: a clock that was ahead does not hide what comes after. */
const receivedAt = ({ ts, received_at: at }) => Math.min(ts, at ?? ts);
const newer = (item, reading) =>
  (reading && receivedAt(reading) >= receivedAt(item)
    ? { ...reading, interval_s: item.interval_s, zone_id: item.zone_id } : item);

const linkTo = ({ esp_id: espId, gpio, sensor_type: sensorType, address }) =>
  link("sensors", espId, gpio, sensorType, ...(address ? [address] : []));

const columns = (now, known) => [
  {
    name: t("common.sensor"),
    cell: (reading) => html`
      <a href=${linkTo(reading)}>${sensorName(reading)}</a>
      ${reading.name && html`<span class="quiet block">${sensorName({ ...reading, name: "" })}</span>`}`,
  },
  { name: t("common.device"), cell: (reading) => html`<${DeviceLink} espId=${reading.esp_id} />` },
  { name: t("common.value"), cell: (reading) => valueText(reading, known(reading)), class: "figure" },
  { name: t("common.raw"), cell: (reading) => number(reading.raw), class: "figure" },
  { name: t("common.quality"), cell: (reading) => html`<${QualityBadge} quality=${orNone(reading.quality)} knowledge=${known(reading)} />` },
  { name: t("common.taken"), cell: (reading) => ago(reading.ts, now) },
];
