/** The filters of a list, kept in its address, so that it can be linked to and shared. */

import { filterParts, filtersOf, isList } from "../core/list_filters.js";
import { Field, SelectField } from "./form.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { useDirectory } from "./names.js";
import { link, partsOf } from "./route.js";
import { t } from "../core/texts.js";

const NOT_GROUPED = "none";

/** `[filters, change]`: what the address of the list says, "" for no filter; `change({name: value})` is in it at once. */
export function useFilters(page, parts, names) {
  const [filters, setFilters] = useState(() => filtersOf(parts, names));
  const latest = useRef(filters); // of two changes before a drawing each counts
  function take(next) {
    latest.current = next;
    setFilters(next);
  }
  useEffect(() => {
    const changed = () => {
      const [name, ...rest] = partsOf(location.hash);
      if (name === page && isList(rest)) take(filtersOf(rest, names));
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);

  function change(changes) {
    take({ ...latest.current, ...changes });
    history.replaceState(null, "", link(page, ...filterParts(latest.current)));
  }
  return [filters, change];
}

/** The choice of a zone, or of all. */
export function ZoneFilter({ value, onChange }) {
  const { zones } = useDirectory();
  const isKnown = !value || zones.some((zone) => zone.zone_id === value);
  const options = [["", t("zones.all_zones")], ...zones.map((zone) => [zone.zone_id, zone.name]), ...(isKnown ? [] : [[value, value]])];
  return html`<${SelectField} name="zone_id" label=${t("common.zone")} options=${options} value=${value}
    onChange=${({ target }) => onChange({ zone_id: target.value })} />`;
}

/** Whether a list, newest first, is grouped by zone: it is, unless its address has group=none. */
export const isGrouped = ({ group }) => group !== NOT_GROUPED;

export const GroupSwitch = ({ filters, onChange }) => html`
  <label class="check">
    <input type="checkbox" name="group" checked=${isGrouped(filters)}
      onChange=${({ target }) => onChange({ group: target.checked ? "" : NOT_GROUPED })} /> <span>${t("filters.group_by_zone")}</span>
  </label>`;

/**
 * The choice of a type, typed in or chosen from those that are `known`. A list has things of exactly this type, so it is
 * narrowed once the type is whole: at Enter, at a choice, or when the field is left. `form`: a RegExp for the whole type.
 */
export function TypeFilter({ name, label, value, known, form = null, onChange, ...input }) {
  const [typing, setTyping] = useState({ of: value, text: value }); // of another value it is of no more interest
  const typed = typing.of === value ? typing.text : value;
  const fits = (text) => !text || !form || form.test(text);
  const problem = fits(typed.trim()) ? null : { field: name, message: t("filters.letters_digits_and") };
  function given(text) {
    if (text !== value && fits(text)) onChange({ [name]: text });
  }
  function changing({ target }) {
    setTyping({ of: value, text: target.value });
    if (!target.value) given(""); // also by the cross that a browser has in the field
  }
  return html`
    <${Field} label=${label} name=${name} problem=${problem}>
      <input type="search" name=${name} list=${`known-${name}`} value=${typed} onInput=${changing}
        onChange=${({ target }) => given(target.value.trim())} ...${input} />
      <datalist id=${`known-${name}`}>
        ${[...new Set(known)].sort().map((each) => html`<option key=${each} value=${each}></option>`)}
      </datalist>
    <//>`;
}
