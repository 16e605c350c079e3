/** The choice of the time that a chart shows, without a mouse too. */

import { edges, moved, rangeOf, scaled } from "../core/series.js";
import { ofField, toField, zoneName } from "../core/times.js";
import { html, useState } from "../ui/html.js";
import { t } from "../core/texts.js";

const MINUTE_MS = 60_000;
export const SPANS = [
  [t("range.15_min"), 15 * MINUTE_MS],
  ["1 h", 60 * MINUTE_MS],
  ["6 h", 360 * MINUTE_MS],
  [t("common.1_day"), 1440 * MINUTE_MS],
  [t("common.7_days"), 7 * 1440 * MINUTE_MS],
  [t("range.30_days"), 30 * 1440 * MINUTE_MS],
];

/** `onChange(range)`; `onBack`: to the range before, null where there is none. */
export function RangeButtons({ range, onChange, onBack }) {
  const [isFree, setFree] = useState(false);
  const change = (next) => () => onChange(next);
  return html`
    <div class="buttons" role="group" aria-label=${t("range.time_shown")}>
      ${SPANS.map(([text, spanMs]) => html`
        <button type="button" key=${text} aria-pressed=${String(!range.toMs && range.spanMs === spanMs)}
          onClick=${change({ spanMs, toMs: null })}>${text}</button>`)}
      <button type="button" aria-expanded=${String(isFree)} onClick=${() => setFree(!isFree)}>${t("range.from_to")}</button>
      <button type="button" aria-label=${t("range.earlier")} onClick=${() => onChange(moved(range, -0.5, Date.now()))}>◀</button>
      <button type="button" aria-label=${t("range.later")} onClick=${() => onChange(moved(range, 0.5, Date.now()))}>▶</button>
      <button type="button" aria-label=${t("range.zoom_in")} onClick=${change(scaled(range, 0.5))}>+</button>
      <button type="button" aria-label=${t("range.zoom_out")} onClick=${change(scaled(range, 2))}>−</button>
      ${onBack && html`<button type="button" onClick=${onBack}>${t("range.back")}</button>`}
    </div>
    ${isFree && html`<${FreeRange} range=${range} onChange=${onChange} />`}`;
}

function FreeRange({ range, onChange }) {
  const [fromMs, toMs] = edges(range, Date.now());
  const [problem, setProblem] = useState(null);
  function submitted(event) {
    event.preventDefault();
    const [from, to] = ["from", "to"].map((name) => ofField(event.target.elements[name].value));
    if (!(from < to)) return setProblem(t("range.the_start_must_be_before"));
    setProblem(null);
    onChange(rangeOf(from, to, Date.now()));
  }
  return html`
    <form class="free-range" onSubmit=${submitted}>
      <label>${t("range.from")} <input type="datetime-local" name="from" step="1" required defaultValue=${toField(fromMs)} /></label>
      <label>${t("common.to")} <input type="datetime-local" name="to" step="1" required defaultValue=${toField(toMs)} /></label>
      <span class="quiet">${zoneName()}</span>
      <button type="submit">${t("common.show_3")}</button>
      ${problem && html`<span class="field-problem" role="alert">${problem}</span>`}
    </form>`;
}
