/** The filters of a list, kept in its address, so that it can be linked to and shared. */

import { filterParts, filtersOf, isList } from "../core/list_filters.js";
import { SelectField } from "./form.js";
import { html, useEffect, useState } from "./html.js";
import { useDirectory } from "./names.js";
import { link, partsOf } from "./route.js";
import { t } from "../core/texts.js";

/** `[filters, change]`: what the address of the list says, "" for no filter; `change({name: value})` is in it at once. */
export function useFilters(page, parts, names) {
  const [filters, setFilters] = useState(() => filtersOf(parts, names));
  useEffect(() => {
    const changed = () => {
      const [name, ...rest] = partsOf(location.hash);
      if (name === page && isList(rest)) setFilters(filtersOf(rest, names));
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);

  function change(changes) {
    const next = { ...filters, ...changes };
    setFilters(next);
    history.replaceState(null, "", link(page, ...filterParts(next)));
  }
  return [filters, change];
}

/** The choice of a zone, or of all. */
export function ZoneFilter({ value, onChange }) {
  const { zones } = useDirectory();
  const isKnown = !value || zones.some((zone) => zone.zone_id === value);
  const options = [["", t("zones.all_zones")], ...zones.map((zone) => [zone.zone_id, zone.name]), ...(isKnown ? [] : [[value, value]])];
  return html`<${SelectField} key=${zones.length} name="zone_id" label=${t("common.zone")} options=${options} value=${value}
    onChange=${({ target }) => onChange({ zone_id: target.value })} />`;
}
