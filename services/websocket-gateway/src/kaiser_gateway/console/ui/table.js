/** A table that turns into cards where the screen is narrow. */

import { html } from "./html.js";

/** `columns`: [{name, cell(row), class?}]; `keyOf(row)` names a row for drawing. */
export function Table({ label, columns, rows, keyOf }) {
  if (rows.length === 0) return null;
  return html`
    <table class="table">
      <caption class="for-screen-readers">${label}</caption>
      <thead><tr>${columns.map(({ name }) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
      <tbody>
        ${rows.map((row) => html`
          <tr key=${keyOf(row)}>
            ${columns.map((column) => html`
              <td key=${column.name} data-label=${column.name} class=${column.class}><div>${column.cell(row)}</div></td>`)}
          </tr>`)}
      </tbody>
    </table>`;
}

export const MoreButton = ({ cursor, isBusy, onMore }) =>
  cursor ? html`<p><button type="button" disabled=${isBusy} onClick=${onMore}>Load more</button></p>` : null;
