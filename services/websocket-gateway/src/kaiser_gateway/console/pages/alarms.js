/** Alarms: what is wrong now, who knows of it, and what was wrong before. */

import { path } from "../core/api.js";
import { emptyText, withSteps } from "../core/alarms.js";
import { asQuery } from "../core/list_filters.js";
import { ago } from "../core/format.js";
import { zoneOfDevice } from "../core/names.js";
import { alarmText, kindText, sourceText } from "../core/sentences.js";
import { Button } from "../ui/button.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useEvents, useNow, usePages } from "../ui/hooks.js";
import { GroupSwitch, ZoneFilter, isGrouped, useFilters } from "../ui/filters.js";
import { DeviceLink, SensorLink, useDirectory } from "../ui/names.js";
import { Badge, Head, ListState } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { AlarmDialog, ShelveDialog } from "./alarm_parts.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const PATH = "/api/v1/alarms";
const KINDS = { critical: "bad", warning: "warn", info: "info" };
const STATES = { raised: "bad", acknowledged: "info", cleared: "good", closed: "idle" };
const FILTERS = ["shown", "severity", "kind", "source", "zone_id", "group"];
const ONE_OF_ITS_KIND = new Set(["kind", "source"]);

export function Alarms({ parts }) {
  const { api, session } = useApp();
  const [filters, change] = useFilters("alarms", parts, FILTERS);
  const shown = filters.shown || "open";
  const [chosen, choose, endChoice] = useDialog();
  const [shelving, shelve, endShelving] = useDialog();
  const now = useNow();
  const { group, ...narrowing } = filters;
  const query = { ...asQuery(narrowing), shown, limit: 100 };
  const loaded = usePages((cursor) => api.get(PATH, { ...query, cursor }), [filters]);
  const directory = useDirectory();
  useEvents((batch) => {
    if (!batch.some(({ type }) => type === "alarm")) return;
    loaded.setData((data) => ({ ...data, items: withSteps(data.items, batch) }));
    loaded.reloadSoon();
  });
  const items = loaded.data?.items ?? [];
  return html`
    <${Head} title=${t("common.alarms")}>
      <a class="button" href=${link("alarm-statistics")}>${t("common.alarm_statistics")}</a>
      <label>${t("common.show_3")} <select value=${shown} onChange=${(event) => change({ shown: event.currentTarget.value })}>
        <option value="open">${t("alarms.open_alarms")}</option><option value="closed">${t("alarms.history")}</option><option value="all">${t("alarms.all")}</option>
      </select></label>
      <label class="for-severity">${t("common.of")} <select value=${filters.severity} onChange=${(event) => change({ severity: event.currentTarget.value })}>
        <option value="">${t("common.any_severity")}</option>
        ${["critical", "warning", "info"].map((each) => html`<option key=${each} value=${each}>${word(each)}</option>`)}
      </select></label>
    <//>
    <div class="filter-fields">
      <${ZoneFilter} value=${filters.zone_id} onChange=${change} />
      <${GroupSwitch} ...${{ filters }} onChange=${change} />
    </div>
    <${Narrowed} filters=${filters} change=${change} />
    <${ListState} loaded=${loaded} count=${items.length} empty=${emptyText(narrowing)} />
    <${Table} label=${t("alarms.alarms_newest_first")} rows=${items} keyOf=${(alarm) => alarm.alarm_id} groupOrder="rows"
      groupOf=${isGrouped(filters) ? ({ esp_id: espId }) => zoneOfDevice(directory, espId) : null}
      columns=${columns({ now, directory, reload: loaded.reload, choose, shelve, may: session.may("operator") })} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    ${chosen && html`<${AlarmDialog} alarm=${chosen} onClose=${endChoice} />`}
    ${shelving && html`<${ShelveDialog} alarm=${shelving} onDone=${loaded.reload} onClose=${endShelving} />`}`;
}

/** The kind or source that a link has chosen, each with a way back to all. */
const Narrowed = ({ filters, change }) => html`
  <div class="chips">
    ${Object.entries(filters).filter(([name, value]) => value && ONE_OF_ITS_KIND.has(name)).map(([name, value]) => html`
      <button type="button" class="chip" key=${name} title=${t("alarms.show_all_again")} onClick=${() => change({ [name]: "" })}>
        ${name === "kind" ? kindText(value) : sourceText(value)} <span aria-hidden="true">✕</span></button>`)}
  </div>`;

const columns = ({ now, directory, reload, choose, shelve, may }) => [
  { name: t("common.severity"), cell: ({ severity }) => html`<${Badge} kind=${KINDS[severity]}>${word(severity)}<//>` },
  {
    name: t("common.what"),
    cell: (alarm) => html`${alarmText(alarm, directory)}<span class="quiet block">${kindText(alarm.kind)}${alarm.times > 1 ? t("alarms.times", { times: alarm.times }) : ""}</span>`,
  },
  { name: t("common.where"), cell: (alarm) => html`<${Where} alarm=${alarm} />` },
  { name: t("alarms.raised"), cell: ({ last_raised_at: at }) => html`${when(at)}<span class="quiet block">${ago(at, now)}</span>` },
  { name: t("common.state"), cell: (alarm) => html`<${State} alarm=${alarm} now=${now} />` },
  {
    name: t("common.do"),
    class: "actions",
    cell: (alarm) => html`
      ${may && html`<${Acknowledge} alarm=${alarm} directory=${directory} onDone=${reload} />`}
      ${may && alarm.state !== "closed" && html`<${Shelve} alarm=${alarm} directory=${directory} now=${now} shelve=${shelve} onDone=${reload} />`}
      <button type="button" aria-label=${t("common.show_2", { message: alarmText(alarm, directory) })} onClick=${() => choose(alarm)}>${t("common.show")}</button>`,
  },
];

function Where({ alarm }) {
  const { esp_id: espId, gpio, sensor_type: type, address, source } = alarm;
  if (!espId) return sourceText(source);
  if (!type) return html`<${DeviceLink} espId=${espId} />${gpio === null || gpio === undefined ? "" : t("alarms.gpio", { gpio })}`;
  return html`<${SensorLink} sensor=${{ esp_id: espId, gpio, sensor_type: type, address: address ?? "" }} />`;
}

function State({ alarm, now }) {
  const { state, acknowledged_by: by, shelved_until: until, shelved_by: shelvedBy } = alarm;
  return html`
    <${Badge} kind=${STATES[state]}>${word(state)}<//>
    ${by && html`<span class="quiet block">${tx("alarms.acknowledged_by", { by })}</span>`}
    ${until > now && html`<span class="quiet block">${tx("alarms.shelved_by_until", { shelvedBy, until: when(until) })}</span>`}`;
}

function Acknowledge({ alarm, directory, onDone }) {
  const { api, alarms } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    await api.post(path`/api/v1/alarms/${alarm.alarm_id}/acknowledge`, {});
    alarms.reload();
    onDone();
  });
  if (alarm.state !== "raised" && alarm.state !== "cleared") return null;
  return html`
    <${Button} class="primary" isBusy=${isBusy} aria-label=${t("alarms.acknowledge_2", { message: alarmText(alarm, directory) })}
      onClick=${() => run()}>${t("alarms.acknowledge")}<//>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}

function Shelve({ alarm, directory, now, shelve, onDone }) {
  const { api, alarms } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    await api.post(path`/api/v1/alarms/${alarm.alarm_id}/unshelve`, {});
    alarms.reload();
    onDone();
  });
  if (!(alarm.shelved_until > now)) {
    return html`<button type="button" aria-label=${t("alarms.shelve_2", { message: alarmText(alarm, directory) })} onClick=${() => shelve(alarm)}>${t("alarms.shelve")}</button>`;
  }
  return html`
    <${Button} isBusy=${isBusy} aria-label=${t("alarms.unshelve_2", { message: alarmText(alarm, directory) })} onClick=${() => run()}>${t("alarms.unshelve")}<//>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
