/** Messages: every topic with its last message, the newest messages, one of them in full, and sending. */

import { ago } from "../core/format.js";
import { timeOfDay } from "../core/times.js";
import { KEPT, age, brief, filterFault, has, verdictOf } from "../core/message_list.js";
import { Field } from "../ui/form.js";
import { html, useApp, useMemo, useState } from "../ui/html.js";
import { useNarrow, useNow } from "../ui/hooks.js";
import { LongList } from "../ui/long_list.js";
import { Badge, Empty, Head, ProblemNotice } from "../ui/parts.js";
import { useMessages } from "./message_feed.js";
import { MessageDetail } from "./message_detail.js";
import { ExportButton } from "./message_export.js";
import { RetainedDialog } from "./message_retained.js";
import { SendDialog } from "./message_send.js";
import { TopicTree } from "./message_tree.js";
import { t, tx } from "../core/texts.js";

const LEVELS = [
  t("messages.level_modules"), t("messages.level_agvs"), t("messages.level_orders"), t("messages.level_system"), t("messages.level_extended"),
  t("messages.level_all"),
];
const KINDS = { reject: "bad", ignore: "idle", accept: "good" };
const EVERYTHING = { priority: 4, filter: "" };

export function Messages() {
  const { session } = useApp();
  const [wanted, setWanted] = useState(EVERYTHING);
  const [search, setSearch] = useState("");
  const [topic, setTopic] = useState(null);
  const [chosen, setChosen] = useState(null);
  const [draft, setDraft] = useState(null);
  const [isRetainedOpen, setRetainedOpen] = useState(false);
  const feed = useMessages(wanted);
  const isNarrow = useNarrow();
  const now = useNow(1000) + feed.state.clockMs;
  const shown = useMemo(
    () => feed.state.items.filter((item) => (topic === null || isBelow(topic, item.topic)) && has(item, search)),
    [feed.state.items, topic, search],
  );
  const mayAct = session.may("operator");
  return html`
    <${Head} title=${t("common.messages")}>
      <${Environment} feed=${feed} />
      <span class="quiet" role="status">${saying(feed, shown.length)}</span>
      <button type="button" class="primary" aria-pressed=${String(feed.paused)} onClick=${feed.toggle}>
        ${feed.paused ? t("common.resume") : t("common.pause")}
      </button>
      <${ExportButton} items=${shown} env=${feed.state.env} />
      <button type="button" onClick=${() => setRetainedOpen(true)}>${t("messages.retained_2")}</button>
      ${mayAct && html`<button type="button" onClick=${() => setDraft({})}>${t("messages.send")}</button>`}
    <//>
    <${Filters} wanted=${wanted} onWanted=${setWanted} search=${search} onSearch=${setSearch} />
    ${feed.problem && html`<${ProblemNotice} problem=${feed.problem} />`}
    <div class="messages">
      <details class="messages-topics" open=${!isNarrow}>
        <summary>${tx("messages.topics", { size: feed.state.topics.size, it: feed.state.complete ? "" : t("messages.more_are_not_followed") })}</summary>
        <${TopicTree} topics=${feed.state.topics} search=${search} chosen=${topic} now=${now} isNarrow=${isNarrow}
          onChoose=${setTopic} />
      </details>
      <div class="log ${chosen ? "log-with-detail" : ""}">
        ${shown.length === 0
          ? html`<${Empty}>${tx("messages.no_message_yet_that_passes", { KEPT })}<//>`
          : html`<${LongList} label=${t("messages.messages_newest_first")} items=${shown} rowRem=${isNarrow ? 4.75 : 2.25}
              draw=${(item) => html`<${Row} key=${item.seq} item=${item} now=${now} isChosen=${item.seq === chosen?.seq}
                onChoose=${setChosen} />`} />`}
        ${chosen && html`
          <${MessageDetail} key=${chosen.seq} item=${chosen} onEdit=${mayAct ? setDraft : null}
            onClose=${() => setChosen(null)} />`}
      </div>
    </div>
    ${draft && html`<${SendDialog} draft=${draft} env=${feed.state.env} epoch=${feed.state.epoch} onClose=${() => setDraft(null)} />`}
    ${isRetainedOpen && html`<${RetainedDialog} onClose=${() => setRetainedOpen(false)} />`}`;
}

const isBelow = (branch, topic) => topic === branch || topic.startsWith(`${branch}/`);

function saying({ state, paused, meanwhile, phase, reason }, count) {
  if (phase !== "open") return reason || t("messages.connecting");
  if (paused) return t("common.paused_new", { meanwhile });
  return t("messages.shown", { count, it: state.conflated ? t("messages.replaced_by_newer_ones", { conflated: state.conflated }) : "" });
}

/** Which environment is in force: nobody should take a mock for the factory. */
function Environment({ feed }) {
  const { env, kind } = feed.state;
  if (!env) return null;
  return html`<${Badge} kind=${kind === "live" ? "good" : "warn"}>${kind === "live" ? env : `${env} (${kind})`}<//>`;
}

function Row({ item, now, isChosen, onChoose }) {
  const choose = () => onChoose(item);
  return html`
    <li>
      <button type="button" class="log-row message-row age-${age(item.received_at, now)}" aria-pressed=${String(isChosen)}
        onPointerDown=${choose} onClick=${choose}>
        <span class="log-time" title=${ago(item.received_at, now)}>${timeOfDay(item.received_at / 1000)}</span>
        <span class="topic message-topic">${item.topic}</span>
        <span class="message-marks">
          ${item.verdict !== "accept" && html`<${Badge} kind=${KINDS[item.verdict]}>${verdictOf(item)}<//>`}
          ${item.retained && html`<${Badge} kind="info">${t("messages.retained")}<//>`}
          ${item.own && html`<${Badge} kind="warn">${t("messages.sent_by_kaiser")}<//>`}
        </span>
        <span class="log-summary">${brief(item)}</span>
      </button>
    </li>`;
}

function Filters({ wanted, onWanted, search, onSearch }) {
  const [text, setText] = useState(wanted.filter);
  const fault = filterFault(text);

  function change(filter) {
    setText(filter);
    if (filterFault(filter) === "") onWanted((old) => ({ ...old, filter }));
  }

  return html`
    <div class="filter-fields">
      <${Field} label=${t("messages.level", { priority: wanted.priority, it: LEVELS[wanted.priority - 1] })} name="priority"
        hint=${t("messages.each_level_shows_what_those")}>
        <input type="range" name="priority" min="1" max="6" step="1" value=${wanted.priority}
          aria-valuetext=${`${wanted.priority}, ${LEVELS[wanted.priority - 1]}`}
          onInput=${({ target }) => onWanted((old) => ({ ...old, priority: Number(target.value) }))} />
      <//>
      <${Field} label=${t("messages.topic_filter")} name="filter" hint=${fault ? null : t("common.is_one_level_the_rest")}>
        <input type="search" name="filter" maxlength="256" placeholder="module/v1/+/+/state" spellcheck="false"
          aria-invalid=${String(fault !== "")} onChange=${({ target }) => change(target.value.trim())} />
        ${fault && html`<span class="field-problem" role="alert">${fault}</span>`}
      <//>
      <${Field} label=${t("messages.search")} name="search" hint=${t("messages.in_topic_and_payload")}>
        <input type="search" name="search" maxlength="200" value=${search}
          onInput=${({ target }) => onSearch(target.value)} />
      <//>
    </div>`;
}
