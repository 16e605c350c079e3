/** A choice of one from a list that is searched by typing; each entry with its name, its place and its value now. */

import { fitting } from "../core/names.js";
import { html, useState } from "./html.js";
import { t, tx } from "../core/texts.js";

const MOST_SHOWN = 8;
let count = 0;

/**
 * `choices`: [{key, name, where, value, isKnown?, words?}]; what is not known now has its value below the name. `chosen`: the key, null for none. `chosenText`: of a choice that is not
 * in the list. The list is open while nothing is chosen.
 */
export function Picker({ label, choices, chosen, chosenText = "", onChoose, empty }) {
  const [id] = useState(() => `picker-${++count}`);
  const [isOpen, setOpen] = useState(false);
  const known = choices.find(({ key }) => key === chosen);
  if (!isOpen && chosen !== null) {
    const text = known ? known.name : chosenText;
    return html`
      <div class="field">
        <span class="field-label" aria-hidden="true">${label}</span>
        <button type="button" class="picked" onClick=${() => setOpen(true)}>
          <span class="for-screen-readers">${label}: </span>
          <span>${text}</span>${" "}
          ${known && html`<span class="quiet">${known.where}</span> <${Value} ...${known} /> `}
          <span class="for-screen-readers">${t("picker.choose_another")}</span>
        </button>
      </div>`;
  }
  const choose = (choice) => {
    onChoose(choice);
    setOpen(false);
  };
  const close = chosen === null ? null : () => setOpen(false);
  return html`<${Search} ...${{ id, label, choices, chosen, choose, close, empty }} />`;
}

const Value = ({ value, isKnown = true }) =>
  (isKnown ? html`<strong>${value}</strong>` : html`<span class="last-known">${value}</span>`);

function Search({ id, label, choices, chosen, choose, close, empty }) {
  const [text, setText] = useState("");
  const [marked, setMarked] = useState(null); // the key: others may come before it
  const found = fitting(choices, text);
  const shown = found.slice(0, MOST_SHOWN);
  const at = Math.max(shown.length ? 0 : -1, shown.findIndex(({ key }) => key === marked));

  function pressed(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) setMarked(shown[Math.max(0, Math.min(shown.length - 1, at + moves[event.key]))]?.key ?? null);
    else if (event.key === "Enter" && shown[at]) choose(shown[at]);
    else if (event.key === "Escape" && close) close();
    else if (event.key !== "Enter") return;
    event.preventDefault();
  }

  return html`
    <div class="field picker">
      <label class="field-label" for=${id}>${label}</label>
      <input id=${id} type="search" role="combobox" autocomplete="off" placeholder=${t("picker.search_name_zone_or_type")}
        aria-expanded=${String(shown.length > 0)} aria-controls=${`${id}-list`} aria-autocomplete="list"
        aria-activedescendant=${shown.length ? `${id}-${at}` : undefined} onKeyDown=${pressed}
        onInput=${({ target }) => { setText(target.value); setMarked(null); }} />
      <ul id=${`${id}-list`} role="listbox" aria-label=${label}>
        ${shown.map((choice, index) => html`
          <li key=${choice.key} id=${`${id}-${index}`} role="option" class=${index === at ? "at" : ""}
            aria-selected=${String(choice.key === chosen)} onClick=${() => choose(choice)}>
            <span>${choice.name}</span> <span class="quiet">${choice.where}</span> <${Value} ...${choice} />
          </li>`)}
      </ul>
      ${shown.length === 0 && html`<span class="quiet">${choices.length ? t("picker.nothing_fits") : empty}</span>`}
      ${found.length > shown.length && html`<span class="quiet">${tx("picker.more_type_what_you_look", { it: found.length - shown.length })}</span>`}
    </div>`;
}
