/** Alarm statistics: how often conditions begin, for how long they hold, how soon somebody acknowledges them. */

import { BY, NAMES, alarmsOf, askedBy, pageOf, rangeFilters } from "../core/alarm_figures.js";
import { kindText, sourceText } from "../core/sentences.js";
import { NONE, duration } from "../core/format.js";
import { nameOfZone } from "../core/names.js";
import { edges } from "../core/series.js";
import { Button } from "../ui/button.js";
import { download } from "../ui/download.js";
import { useFilters } from "../ui/filters.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Badge, Head, ListState, ProblemNotice } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { RangeButtons } from "./range.js";
import { t, word } from "../core/texts.js";

const PATH = "/api/v1/alarms/figures";
const KINDS = { critical: "bad", warning: "warn", info: "info" };
const TITLES = { kind: t("alarm_statistics.by_kind"), source: t("alarm_statistics.by_source"), zone: t("alarm_statistics.by_zone") };

export function AlarmStatistics({ parts }) {
  const { api } = useApp();
  const [filters, change] = useFilters("alarm-statistics", parts, NAMES);
  const { by, range } = askedBy(filters);
  const directory = useDirectory();
  const query = () => {
    const [from, to] = edges(range, Date.now()).map(Math.round);
    return { by, from, to };
  };
  const loaded = useLoaded(() => api.get(PATH, query()), [filters]);
  const [save, saving] = useAction(async () => 
    download(await api.blob(PATH, { query: { ...query(), format: "csv" } }), `alarms-by-${by}.csv`));
  const found = loaded.data;
  const items = found?.items ?? [];
  return html`
    <${Head} title=${t("common.alarm_statistics")}>
      <a href=${link("alarms")}>${t("common.alarms")}</a>
      <${Button} disabled=${!items.length} isBusy=${saving.isBusy} onClick=${save}>CSV<//>
    <//>
    <div class="buttons" role="group" aria-label=${t("alarm_statistics.grouped")}>
      ${BY.map((each) => html`
        <button type="button" key=${each} aria-pressed=${String(each === by)} onClick=${() => change({ by: each })}>${TITLES[each]}</button>`)}
    </div>
    <${RangeButtons} range=${range} onChange=${(next) => change(rangeFilters(next))} onBack=${null} />
    ${found && html`<p class="quiet">${when(found.from_ms)} – ${when(found.to_ms)}</p>`}
    <${ProblemNotice} problem=${saving.problem} />
    <${ListState} loaded=${loaded} count=${items.length} empty=${t("alarm_statistics.no_condition_held")} />
    <${Table} label=${TITLES[by]} rows=${items} keyOf=${({ name }) => name} columns=${columns(by, directory)} />
    ${found?.left_out && html`<p class="quiet">${t("alarm_statistics.some_are_left_out")}</p>`}`;
}

const columns = (by, directory) => [
  { name: TITLES[by], cell: (one) => html`<${Name} by=${by} one=${one} directory=${directory} />` },
  { name: t("common.severity"), cell: ({ severity }) => html`<${Badge} kind=${KINDS[severity]}>${word(severity)}<//>` },
  { name: t("alarm_statistics.times"), class: "figure", cell: (one) => html`<${Times} by=${by} one=${one} />` },
  ...(by === "source" ? [] : [{ name: t("alarm_statistics.conditions"), class: "figure", cell: ({ conditions }) => conditions }]),
  { name: t("alarm_statistics.standing"), class: "figure", cell: ({ standing_s: standing }) => duration(standing) },
  { name: t("alarm_statistics.standing_now"), class: "figure", cell: ({ standing_now: now }) => now || NONE },
  { name: t("alarm_statistics.acknowledged"), class: "figure", cell: ({ acknowledged }) => acknowledged || NONE },
  { name: t("alarm_statistics.until_acknowledged"), class: "figure", cell: (one) => html`<${Waited} one=${one} />` },
];

function Name({ by, one, directory }) {
  const text = { kind: () => kindText(one.name), source: () => sourceText(one.name), zone: () => nameOfZone(directory, one.name) || t("common.no_zone") }[by]();
  const page = pageOf(by, one);
  return page ? html`<a href=${link(...page)}>${text}</a>` : text;
}

function Times({ by, one }) {
  const page = alarmsOf(by, one);
  return page ? html`<a href=${link(...page)} aria-label=${t("alarm_statistics.show_the_alarms", { n: one.times })}>${one.times}</a>` : one.times;
}

function Waited({ one }) {
  if (!one.acknowledged) return NONE;
  return html`${duration(one.mean_to_acknowledge_s)}
    ${one.acknowledged > 1 && html`<span class="quiet block">${t("alarm_statistics.at_most", { time: duration(one.longest_to_acknowledge_s) })}</span>`}`;
}
