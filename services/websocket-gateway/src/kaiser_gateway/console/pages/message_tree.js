/** The tree of topics: how many messages of each are kept, how old the last one is; a choice shows those below it. */

import { ago } from "../core/format.js";
import { age, brief, has, treeOf } from "../core/message_list.js";
import { html, useMemo, useState } from "../ui/html.js";
import { LongList } from "../ui/long_list.js";
import { t } from "../core/texts.js";

const FIRST_CLOSED_DEPTH = 4;

export function TopicTree({ topics, search, chosen, now, isNarrow, onChoose }) {
  const [toggled, setToggled] = useState(new Set());
  const rows = useMemo(() => {
    const items = [...topics.values()].filter((item) => has(item, search));
    return treeOf(items, toggled);
  }, [topics, search, toggled]);

  function toggle(path) {
    const next = new Set(toggled);
    if (!next.delete(path)) next.add(path);
    setToggled(next);
  }

  if (rows.length === 0) return html`<p class="empty">${t("message_tree.no_topics_yet")}</p>`;
  return html`
    ${chosen !== null && html`
      <p><button type="button" onClick=${() => onChoose(null)}>${t("message_tree.all_topics")}</button> <span class="topic">${chosen}</span></p>`}
    <${LongList} label=${t("common.topics")} items=${rows} rowRem=${isNarrow ? 2.5 : 2} draw=${(row) => html`
      <${TreeRow} key=${row.path} row=${row} now=${now} isChosen=${row.path === chosen} onToggle=${toggle}
        onChoose=${onChoose} />`} />`;
}

function TreeRow({ row, now, isChosen, onToggle, onChoose }) {
  const { item, depth } = row;
  return html`
    <li class="tree-row depth-${Math.min(depth, FIRST_CLOSED_DEPTH + 4)}">
      ${row.isBranch
        ? html`<button type="button" class="plain tree-toggle" aria-expanded=${String(!row.isClosed)}
            aria-label=${`${row.isClosed ? t("message_tree.open") : t("common.close")} ${row.path}`} onClick=${() => onToggle(row.path)}>
            ${row.isClosed ? "▸" : "▾"}</button>`
        : html`<span class="tree-toggle" aria-hidden="true">·</span>`}
      <button type="button" class="plain tree-name ${item ? `age-${age(item.received_at, now)}` : ""}"
        aria-pressed=${String(isChosen)} title=${item ? brief(item) : row.path} onClick=${() => onChoose(row.path)}>
        <span class="topic">${row.name}</span>
        <span class="quiet">${item ? `${item.held} · ${ago(item.received_at, now)}` : t("message_tree.topics", { n: row.topics })}</span>
      </button>
    </li>`;
}
