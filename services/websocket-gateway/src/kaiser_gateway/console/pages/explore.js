/** Explore: several sensors in one chart, with the period before; its address shows the same elsewhere. */

import { path } from "../core/api.js";
import { sensorKey } from "../core/keys.js";
import { hasNewSensor } from "../core/overview.js";
import { LONGEST_MS, MOST_SENSORS, fromParts, marksOf, matching, shifted, toCsv, toParts } from "../core/explore.js";
import { namesByDevice, sensorName, toDirectory, zonesByDevice } from "../core/names.js";
import { columnsOf, edges, rangeOf, within } from "../core/series.js";
import { dateTime, zoneName } from "../core/times.js";
import { Chart } from "../ui/chart.js";
import { download } from "../ui/download.js";
import { CheckField, Field } from "../ui/form.js";
import { html, useApp, useMemo, useRef, useState } from "../ui/html.js";
import { useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { Empty, Head, Panel, ProblemNotice } from "../ui/parts.js";
import { withLegend } from "../ui/picture.js";
import { link } from "../ui/route.js";
import { historyOf, inWords } from "./history.js";
import { RangeButtons, SPANS } from "./range.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 30_000;
const MOVES_EVERY_MS = 5000;
const MOST_FOUND = 12;
const MOST_UNITS = 2;
const MOST_ACTUATORS = 8;
const MOST_OF_ONE = 200;
const NO_MARKS = [];

export function Explore({ parts }) {
  const { api } = useApp();
  const [shown, setShown] = useState(() => fromParts(parts, SPANS[1][1]));
  const latest = useRef(shown); // of two changes before a drawing each counts
  const { range, ghost, marked, sensors } = shown;
  const [before, setBefore] = useState([]);
  const known = useLoaded(() => api.get("/api/v1/overview"), []);
  const now = useNow(MOVES_EVERY_MS);
  const address = toParts(shown).join();

  const loaded = useLoaded(async () => ({ of: address, all: await Promise.all(sensors.map((sensor) => seriesOf(api, sensor, range, ghost))) }),
    [address]);
  useEvery(LOOK_AGAIN_EVERY_MS, () => range.toMs === null && loaded.reload());

  const { byKey, zones, names } = useMemo(() => ({
    byKey: new Map((known.data?.sensors ?? []).map((one) => [sensorKey(one), one])),
    zones: zonesByDevice(known.data ?? { devices: [], sensors: [], actuators: [] }),
    names: namesByDevice(known.data?.devices ?? []),
  }), [known.data]);
  useEvery(LOOK_AGAIN_EVERY_MS, known.reload);
  useEvents((batch) => {
    if (known.data && hasNewSensor(known.data, batch)) known.reloadSoon();
  });
  const axis = edges(range, now);
  const series = useMemo(
    () => drawn(loaded.data?.all ?? [], { byKey, zones, names }, axis, range.spanMs), [loaded.data, byKey, ...axis]);
  const happened = useLoaded(() => (marked && sensors.length && known.data ? happenedTo(api, sensors, known.data, range) : null),
    [address, known.data === null]);
  useEvery(LOOK_AGAIN_EVERY_MS, () => range.toMs === null && happened.reload());
  const { marks, left, areAll } = useMemo(
    () => (marked && happened.data ? marksOf(happened.data, axis) : { marks: NO_MARKS, left: 0, areAll: true }),
    [happened.data, marked, ...axis]);
  const isLoaded = series.length > 0 && loaded.data.of === address;
  const seen = useMemo(() => series.filter(({ isLeftOut }) => !isLeftOut), [series]);
  const lines = useMemo(() => seen.flatMap((one) => one.lines), [seen]);

  /** The address follows at once: later it might take the place of a page that was opened meanwhile. */
  function show(changes) {
    latest.current = { ...latest.current, ...changes };
    setShown(latest.current);
    history.replaceState(null, "", link("explore", ...toParts(latest.current)));
  }
  function choose(next) {
    setBefore([...before, range]);
    show({ range: next });
  }
  function back() {
    if (!before.length) return;
    show({ range: before.at(-1) });
    setBefore(before.slice(0, -1));
  }
  const add = (sensor) => latest.current.sensors.length < MOST_SENSORS && show({ sensors: [...latest.current.sensors, sensor] });
  const remove = (sensor) => show({ sensors: latest.current.sensors.filter((one) => one !== sensor) });
  const name = (sensor) => sensorName(byKey.get(sensorKey(sensor)) ?? sensor);

  return html`
    <${Head} title=${t("common.explore")}>
      <button type="button" disabled=${!isLoaded} onClick=${() => download(new Blob([toCsv(seen)], { type: "text/csv" }), "kaiser.csv")}>CSV</button>
      <button type="button" disabled=${!isLoaded} onClick=${() => savePicture(lines, axis)}>PNG</button>
    <//>
    <${ProblemNotice} problem=${known.problem ?? loaded.problem ?? happened.problem} onRetry=${() => { known.reload(); loaded.reload(); happened.reload(); }} />
    <${Panel} title=${t("common.sensors")}>
      <${Picker} sensors=${known.data?.sensors ?? []} zones=${zones} names=${names} chosen=${sensors} onAdd=${add} />
      <div class="chips">
        ${sensors.map((sensor) => html`
          <button type="button" class="chip" key=${sensorKey(sensor)} title=${t("explore.remove_it_from_the_chart")}
            onClick=${() => remove(sensor)}>${name(sensor)} <span class="quiet">${names[sensor.esp_id] ?? sensor.esp_id}</span> <span aria-hidden="true">✕</span></button>`)}
      </div>
    <//>
    <${Panel} title=${t("explore.chart")}>
      <${RangeButtons} range=${range} onChange=${choose} onBack=${before.length ? back : null} />
      <${CheckField} label=${t("explore.show_the_period_before_too")} name="ghost" checked=${ghost}
        onChange=${({ target }) => show({ ghost: target.checked })} />
      <${CheckField} label=${t("explore.mark_alarms_stops_commands_and")} name="marked" checked=${marked}
        onChange=${({ target }) => show({ marked: target.checked })} />
      ${seen.length < series.length && html`
        <p class="notice notice-warn">${t("explore.a_chart_has_room_for")}</p>`}
      ${sensors.length === 0 ? html`<${Empty}>${t("explore.choose_a_sensor_above")}<//>` : html`
        <div class="explored">
          <${Chart} label=${t("explore.values_of_the_chosen_sensors")} lines=${lines} shown=${axis} marks=${marks} onBack=${back}
            onZoom=${(fromMs, toMs) => choose(rangeOf(fromMs, toMs, Date.now()))}
            words=${seen.map((one) => html`<span class="block" key=${one.key}>${one.name}: ${inWords(one.points, one.unit)}</span>`)} />
        </div>
        ${marked && html`<${Marks} ...${{ marks, left, areAll }} />`}`}
    <//>`;
}

/** What the numbered lines of the chart are. `areAll`: whether `left` are all that are not among them. */
function Marks({ marks, left, areAll }) {
  const others = areAll ? left > 0 && tx("explore.earlier_marks_are_left_out", { n: left }) : t("explore.not_all_that_happened_is");
  if (!marks.length) return html`<p class="quiet">${areAll ? t("explore.there_is_nothing_to_mark") : others}</p>`;
  return html`
    <details class="marks" open>
      <summary>${t("explore.what_happened_in_this_time")}</summary>
      ${others && html`<p class="quiet">${others}</p>`}
      <ol>
        ${marks.map(({ ts, until, kind, text }, index) => html`
          <li key=${`${ts} ${index}`} data-from=${ts} data-to=${until ?? ts}>${when(ts)} <strong>${word(kind, "mark")}</strong> ${text}</li>`)}
      </ol>
    </details>`;
}

/** Alarms of the sensors' devices and critical ones of the whole site that stood in the time chosen, whenever they were
 * raised; commands to actuators of these devices or their zones, and when Kaiser's services started, in it. `areAll`:
 * whether no request had more than its limit. */
async function happenedTo(api, sensors, known, range) {
  const [from, to] = edges(range, Date.now()).map(Math.round);
  const devices = [...new Set(sensors.map(({ esp_id: espId }) => espId))];
  const zoneOf = new Map(known.devices.map((one) => [one.esp_id, one.zone_id]));
  const zones = new Set(devices.map((espId) => zoneOf.get(espId)).filter(Boolean));
  const near = known.actuators.filter(({ esp_id: espId }) => devices.includes(espId) || zones.has(zoneOf.get(espId)));
  const spansFrom = Math.max(from, to + 1 - LONGEST_MS);
  const spans = (query) => api.get("/api/v1/alarms/spans", { from: spansFrom, to: to + 1, limit: MOST_OF_ONE, ...query });
  const history = async ({ esp_id: espId, gpio, name }) => {
    const query = { from, to: to + 1, limit: MOST_OF_ONE };
    const found = await api.get(path`/api/v1/actuators/${espId}/${gpio}/history`, query);
    return { ...found, name: name || t("common.gpio_of", { gpio, device: espId }) };
  };
  const found = [await spans({ severity: "critical", of_site: true })];
  for (const espId of devices) found.push(await spans({ esp_id: espId })); // one by one: the server counts one at a time
  const [histories, starts] = await Promise.all([
    Promise.all(near.slice(0, MOST_ACTUATORS).map(history)),
    api.get("/api/v1/system/starts", { from, to: to + 1 }),
  ]);
  const areAll = near.length <= MOST_ACTUATORS && ![...found, starts].some(({ left_out: isLeftOut }) => isLeftOut)
    && histories.every(({ next_cursor: cursor }) => !cursor);
  return { spans: found.flatMap(({ items }) => items), histories, starts: starts.items, areAll, directory: toDirectory(known) };
}

function Picker({ sensors, zones, names, chosen, onAdd }) {
  const [text, setText] = useState("");
  const isFull = chosen.length >= MOST_SENSORS;
  const taken = new Set(chosen.map(sensorKey));
  const found = matching(sensors, text, zones, names).filter((sensor) => !taken.has(sensorKey(sensor)));
  const pick = ({ esp_id, gpio, sensor_type, address }) => onAdd({ esp_id, gpio, sensor_type, address });
  return html`
    <${Field} label=${t("explore.search_name_type_zone_or")} name="text">
      <input type="search" name="text" disabled=${isFull} onInput=${({ target }) => setText(target.value)} />
    <//>
    ${isFull && html`<p class="quiet" role="status">${t("explore.a_chart_has_room_for_sensors", { n: MOST_SENSORS })}</p>`}
    <div class="chips" role="group" aria-label=${t("explore.matching_sensors")}>
      ${found.slice(0, MOST_FOUND).map((sensor) => html`
        <button type="button" class="chip" key=${sensorKey(sensor)} disabled=${isFull} onClick=${() => pick(sensor)}>
          + ${sensorName(sensor)} <span class="quiet">${[zones[sensor.esp_id], names[sensor.esp_id] ?? sensor.esp_id].filter(Boolean).join(", ")}</span>
        </button>`)}
    </div>
    ${found.length > MOST_FOUND && html`<p class="quiet">${tx("explore.more_fit_search_for_them", { it: found.length - MOST_FOUND })}</p>`}`;
}

/** {sensor, now, before}: the points of the time chosen and, where it is asked for, of the period before. */
async function seriesOf(api, sensor, range, ghost) {
  const before = { spanMs: range.spanMs, toMs: Math.round(edges(range, Date.now())[0]) };
  const [now, past] = await Promise.all([historyOf(api, sensor, range), ghost ? historyOf(api, sensor, before) : null]);
  return { sensor, now, before: past };
}

/** Of each sensor what is in the chart: its lines, its points for the caption and the file, those of the period before for
 * the file. `isLeftOut`: the chart has no axis for its unit. */
function drawn(loaded, { byKey, zones, names }, axis, spanMs) {
  const units = new Set();
  return loaded.map(({ sensor, now, before }, index) => {
    const known = byKey.get(sensorKey(sensor));
    const unit = known?.unit ?? "";
    if (units.size < MOST_UNITS) units.add(unit);
    const isLeftOut = !units.has(unit);
    const intervalMs = known ? known.interval_s * 1000 : null;
    const points = within(now.points, ...axis, now.bucketMs);
    const name = `${sensorName(known ?? sensor)} (${names[sensor.esp_id] ?? sensor.esp_id})`;
    const line = (text, found, bucketMs, isGhost) =>
      ({ name: text, unit, colour: `--line-${index + 1}`, ghost: isGhost, columns: columnsOf(found, intervalMs, bucketMs) });
    const past = before ? within(before.points, ...axis.map((ms) => ms - spanMs), before.bucketMs) : [];
    const lines = [line(name, points, now.bucketMs, false)];
    if (before) lines.push(line(t("explore.before", { name }), shifted(past, spanMs), before.bucketMs, true));
    return { key: sensorKey(sensor), name, zone: zones[sensor.esp_id] ?? "", esp_id: sensor.esp_id, unit, points, past, lines, isLeftOut };
  });
}

function savePicture(lines, [fromMs, toMs]) {
  const span = t("explore.from_to_in", { from: dateTime(fromMs), to: dateTime(toMs), zone: zoneName() });
  const named = lines.map(({ name, unit, colour, ghost }) => ({ text: unit ? `${name} (${unit})` : name, colour, ghost }));
  withLegend(document.querySelector(".explored canvas"), span, named).toBlob((blob) => download(blob, "kaiser.png"));
}
