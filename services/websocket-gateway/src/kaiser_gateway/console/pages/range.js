/** The choice of the time that a chart shows, without a mouse too. */

import { edges, moved, rangeOf, scaled } from "../core/series.js";
import { ofField, toField, zoneName } from "../core/times.js";
import { html, useState } from "../ui/html.js";

const MINUTE_MS = 60_000;
export const SPANS = [
  ["15 min", 15 * MINUTE_MS],
  ["1 h", 60 * MINUTE_MS],
  ["6 h", 360 * MINUTE_MS],
  ["1 day", 1440 * MINUTE_MS],
  ["7 days", 7 * 1440 * MINUTE_MS],
  ["30 days", 30 * 1440 * MINUTE_MS],
];

/** `onChange(range)`; `onBack`: to the range before, null where there is none. */
export function RangeButtons({ range, onChange, onBack }) {
  const [isFree, setFree] = useState(false);
  const change = (next) => () => onChange(next);
  return html`
    <div class="buttons" role="group" aria-label="Time shown">
      ${SPANS.map(([text, spanMs]) => html`
        <button type="button" key=${text} aria-pressed=${String(!range.toMs && range.spanMs === spanMs)}
          onClick=${change({ spanMs, toMs: null })}>${text}</button>`)}
      <button type="button" aria-expanded=${String(isFree)} onClick=${() => setFree(!isFree)}>From, to…</button>
      <button type="button" aria-label="Earlier" onClick=${() => onChange(moved(range, -0.5, Date.now()))}>◀</button>
      <button type="button" aria-label="Later" onClick=${() => onChange(moved(range, 0.5, Date.now()))}>▶</button>
      <button type="button" aria-label="Zoom in" onClick=${change(scaled(range, 0.5))}>+</button>
      <button type="button" aria-label="Zoom out" onClick=${change(scaled(range, 2))}>−</button>
      ${onBack && html`<button type="button" onClick=${onBack}>Back</button>`}
    </div>
    ${isFree && html`<${FreeRange} range=${range} onChange=${onChange} />`}`;
}

function FreeRange({ range, onChange }) {
  const [fromMs, toMs] = edges(range, Date.now());
  const [problem, setProblem] = useState(null);
  function submitted(event) {
    event.preventDefault();
    const [from, to] = ["from", "to"].map((name) => ofField(event.target.elements[name].value));
    if (!(from < to)) return setProblem("The start must be before the end.");
    setProblem(null);
    onChange(rangeOf(from, to, Date.now()));
  }
  return html`
    <form class="free-range" onSubmit=${submitted}>
      <label>From <input type="datetime-local" name="from" step="1" required defaultValue=${toField(fromMs)} /></label>
      <label>To <input type="datetime-local" name="to" step="1" required defaultValue=${toField(toMs)} /></label>
      <span class="quiet">${zoneName()}</span>
      <button type="submit">Show</button>
      ${problem && html`<span class="field-problem" role="alert">${problem}</span>`}
    </form>`;
}
