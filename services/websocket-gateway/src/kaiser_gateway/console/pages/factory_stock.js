/** The bays of a store, three by three. */

import { gridOf } from "../core/factory.js";
import { html } from "../ui/html.js";
import { link } from "../ui/route.js";
import { t } from "../core/texts.js";

export function StockGrid({ stock }) {
  const { rows, rest } = gridOf(stock);
  return html`
    <table class="stock">
      <caption class="quiet">${stock.hbw}</caption>
      <tbody>
        ${rows.map((row) => html`<tr key=${row[0].location}>${row.map((bay) => html`<${Bay} key=${bay.location} bay=${bay} />`)}</tr>`)}
        ${rest.length > 0 && html`<tr>${rest.map((bay) => html`<${Bay} key=${bay.location} bay=${bay} />`)}</tr>`}
      </tbody>
    </table>`;
}

function Bay({ bay: { location, type, id, state } }) {
  return html`
    <td>
      <span class="quiet">${location}</span>
      ${type ? html`
        <span class="block"><span class=${`piece-mark piece-${type.toLowerCase()}`} aria-hidden="true"></span> ${type}</span>
        ${id && html`<a class="block" href=${link("workpiece", id)}>${id}</a>`}
        ${state && state !== "RAW" && html`<span class="quiet block">${state}</span>`}` : html`<span class="block quiet">${t("factory_stock.empty")}</span>`}
    </td>`;
}
