/** A table that turns into cards where the screen is narrow. */

import { inGroups } from "../core/groups.js";
import { Button } from "./button.js";
import { html } from "./html.js";
import { t } from "../core/texts.js";

/**
 * `columns`: [{name, cell(row), class?}]; `keyOf(row)` names a row for drawing. `groupOf(row)`: the heading under which
 * a row stands; where no row has one there are none. `groupOrder`: that of the headings, as inGroups has it. `groupKeyOf`:
 * names a row's group where its heading may change: what somebody has begun in a row stays.
 */
export function Table({ label, columns, rows, keyOf, groupOf = null, groupKeyOf = null, groupOrder = "name" }) {
  if (rows.length === 0) return null;
  const groups = groupOf ? inGroups(rows, groupOf, groupOrder) : [{ name: "", rows }];
  const isGrouped = groups.some(({ name }) => name);
  return html`
    <table class="table">
      <caption class="for-screen-readers">${label}</caption>
      <thead><tr>${columns.map(({ name }) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
      ${groups.map((group) => html`
        <tbody key=${groupKeyOf ? groupKeyOf(group.rows[0]) ?? "" : group.name}>
          ${isGrouped && html`
            <tr class="group"><th scope="rowgroup" colspan=${columns.length}>${group.name || t("common.no_zone")}</th></tr>`}
          ${group.rows.map((row) => html`
            <tr key=${keyOf(row)}>
              ${columns.map((column) => html`
                <td key=${column.name} data-label=${column.name} class=${column.class}><div>${column.cell(row)}</div></td>`)}
            </tr>`)}
        </tbody>`)}
    </table>`;
}

export const MoreButton = ({ cursor, isBusy, onMore }) =>
  cursor ? html`<p><${Button} isBusy=${isBusy} onClick=${onMore}>${t("table.load_more")}<//></p>` : null;
