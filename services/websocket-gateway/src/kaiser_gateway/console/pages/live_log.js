/** Live log: every event as it comes. */

import { severityBadge } from "../core/alarms.js";
import { NONE } from "../core/format.js";
import { summary } from "../core/summaries.js";
import { timeOfDay, utc } from "../core/times.js";
import { EVENT_TYPES, admits, idsOf, isCalled, isTopicFilter, topicMatches } from "../core/filters.js";
import { KEPT } from "../core/log.js";
import { deviceName } from "../core/names.js";
import { Field } from "../ui/form.js";
import { html, useApp, useEffect, useMemo, useState } from "../ui/html.js";
import { useNarrow, useStore } from "../ui/hooks.js";
import { LongList } from "../ui/long_list.js";
import { useDirectory } from "../ui/names.js";
import { Badge, Empty, Head } from "../ui/parts.js";
import { t, tx, word } from "../core/texts.js";

const KINDS = { sensor_data: "info", esp_health: "good" };
const MOST_OFFERED = 200;
const ALL = { types: [], esp_ids: [], topics: [] };
const NOTHING_TYPED = { device: "", topic: "" };

export function LiveLog() {
  const { log, socket } = useApp();
  const { events, paused, meanwhile } = useStore(log.view);
  const [filters, setFilters] = useState(ALL);
  const [typed, setTyped] = useState(NOTHING_TYPED);
  const [chosen, setChosen] = useState(null);
  const isNarrow = useNarrow();
  const directory = useDirectory();
  const shown = useMemo(() => events.filter((event) => admits(filters, event) && isTyped(typed, event, directory)),
    [events, filters, typed, directory]);

  const draw = (event) => html`
    <${Row} key=${event.number} event=${event} said=${summary(event, directory)} name=${deviceName(directory, event.data.esp_id)} isChosen=${event.number === chosen?.number} onChoose=${setChosen} />`;

  useEffect(() => {
    socket.subscribe(filters);
    return () => socket.subscribe({});
  }, [filters]);

  return html`
    <${Head} title=${t("common.live_log")}>
      <span class="quiet" role="status">${paused ? t("common.paused_new", { meanwhile }) : t("live_log.shown", { length: shown.length })}</span>
      <button type="button" class="primary" aria-pressed=${String(paused)} onClick=${paused ? log.resume : log.pause}>
        ${paused ? t("common.resume") : t("common.pause")}
      </button>
      <button type="button" onClick=${log.clear}>${t("live_log.clear")}</button>
    <//>
    <${Filters} ...${{ filters, typed, isNarrow, directory }} onChange=${setFilters} onType=${setTyped} />
    <div class="log ${chosen ? "log-with-detail" : ""}">
      ${shown.length === 0
        ? html`<${Empty}>${tx("live_log.no_event_has_come_yet", { KEPT })}<//>`
        : html`<${LongList} label=${t("live_log.events_newest_first")} items=${shown} rowRem=${isNarrow ? 4.75 : 2.25} draw=${draw} />`}
      ${chosen && html`<${Detail} event=${chosen} onClose=${() => setChosen(null)} />`}
    </div>`;
}

/** Whether an event fits the texts of the fields, also during typing. */
const isTyped = ({ device, topic }, { data }, directory) =>
  (!device || isCalled(device, data.esp_id, directory.devices.get(data.esp_id)?.name))
  && (!topic || !isTopicFilter(topic) || topicMatches(topic, data.topic));

/** Taken at the press, not at the release: meanwhile another event may have moved under the pointer. */
function Row({ event, said, name, isChosen, onChoose }) {
  const choose = () => onChoose(event);
  return html`
    <li>
      <button type="button" class="log-row" aria-pressed=${String(isChosen)} onPointerDown=${choose} onClick=${choose}>
        <span class="log-time" title=${utc(event.timestamp * 1000)}>${timeOfDay(event.timestamp)}</span>
        <${Badge} kind=${severityBadge(event) ?? KINDS[event.type]}>${word(event.type, "event")}<//>
        <span class="log-device" title=${event.data.esp_id}>${name ?? NONE}</span>
        <span class="log-summary">${said}</span>
        <span class="log-topic topic">${event.data.topic}</span>
      </button>
    </li>`;
}

function Detail({ event, onClose }) {
  const { number, ...frame } = event;
  return html`
    <section class="log-detail panel" aria-label=${t("live_log.the_chosen_event")}>
      <div class="dialog-head">
        <h2>${word(event.type, "event")}</h2>
        <button type="button" class="plain" aria-label=${t("common.close")} onClick=${onClose}>✕</button>
      </div>
      ${event.data.topic && html`<p class="topic">${event.data.topic}</p>`}
      <pre tabindex="0" aria-label=${t("live_log.the_event_as_json")}>${JSON.stringify(frame, null, 2)}</pre>
    </section>`;
}

/** Ids with their names, offered where an id is typed. */
function KnownDevices() {
  const { devices } = useDirectory();
  const named = [...devices.values()].slice(0, MOST_OFFERED);
  return html`
    <datalist id="known-devices">
      ${named.map(({ esp_id: espId, name }) => html`<option key=${espId} value=${espId}>${name ?? espId}</option>`)}
    </datalist>`;
}

/** The page filters its list during typing; the server filters at Enter, or when the field is left. */
function Filters({ filters, typed, isNarrow, directory, onChange, onType }) {
  const isWrong = typed.topic !== "" && !isTopicFilter(typed.topic);

  function toggle(type) {
    onChange(({ types, ...others }) => ({ ...others, types: types.includes(type) ? types.filter((one) => one !== type) : [...types, type] }));
  }

  function type(field, list, text) {
    onType((old) => ({ ...old, [field]: text }));
    if (filters[list].length) onChange((old) => ({ ...old, [list]: [] }));
  }

  return html`
    <details class="filters" open=${!isNarrow}>
      <summary>${t("live_log.filters")}</summary>
      <fieldset class="chips">
        <legend>${t("live_log.types_none_chosen_all")}</legend>
        ${EVENT_TYPES.map((type) => html`
          <label class="chip" key=${type}>
            <input type="checkbox" checked=${filters.types.includes(type)} onChange=${() => toggle(type)} /> ${word(type, "event")}
          </label>`)}
      </fieldset>
      <div class="filter-fields">
        <${Field} label=${t("common.device")} name="device">
          <input type="search" placeholder="ESP_0A1B2C3D" name="device" maxlength="40" list="known-devices"
            onInput=${({ target }) => type("device", "esp_ids", target.value.trim())}
            onChange=${({ target }) => onChange((old) => ({ ...old, esp_ids: idsOf(target.value.trim(), directory.devices) }))} />
        <//>
        <${KnownDevices} />
        <${Field} label=${t("live_log.mqtt_topic")} name="topic" hint=${isWrong ? null : t("common.is_one_level_the_rest")}>
          <input type="search" placeholder="kaiser/+/esp/+/sensor/#" name="topic" maxlength="256" spellcheck="false"
            aria-invalid=${String(isWrong)} onInput=${({ target }) => type("topic", "topics", target.value.trim())}
            onChange=${({ target }) => onChange((old) => ({ ...old, topics: [target.value.trim()].filter(isTopicFilter) }))} />
          ${isWrong && html`<span class="field-problem">${t("live_log.this_is_no_topic_filter")}</span>`}
        <//>
      </div>
    </details>`;
}
