/** A duration: usual ones as buttons, any other as a number with its unit. */

import { isWrong } from "./form.js";
import { UNITS, durationText, unitOf } from "../core/durations.js";
import { html, useState } from "./html.js";
import { t, word } from "../core/texts.js";

/**
 * `value`: in s, null for none. `usual`: durations in s. `zero`: what 0 means, such as "until further notice"; without it
 * 0 is not offered.
 */
export function Duration({ label, value, onChange, usual, zero = null, required = false, least = 0, most = null, hint, problem = null }) {
  const [chosenSize, setSize] = useState(null);
  const size = chosenSize ?? unitOf(value ?? 0)[1];
  const offered = [...(zero ? [[0, zero]] : []), ...usual.map((seconds) => [seconds, durationText(seconds)])];

  function choose(seconds) {
    setSize(unitOf(seconds)[1]);
    onChange(seconds);
  }

  return html`
    <fieldset class="duration">
      <legend>${label}</legend>
      <div class="duration-figure">
        <input type="number" step="any" inputmode="decimal" min=${least / size} max=${most === null ? undefined : most / size}
          aria-label=${t("duration.figure", { label })} required=${required && !(zero && value === 0)}
          value=${value === null || value === undefined || (zero && value === 0) ? "" : value / size}
          onInput=${({ target }) => {
            setSize(size);
            onChange(target.value === "" ? null : Number(target.value) * size);
          }} />
        <select aria-label=${t("duration.unit", { label })} onChange=${({ target }) => {
          const next = Number(target.value);
          if (value) onChange((value / size) * next);
          setSize(next);
        }}>
          ${UNITS.map(([unit, each]) => html`<option key=${unit} value=${each} selected=${each === size}>${word(unit, "unit")}</option>`)}
        </select>
      </div>
      <div class="chips">
        ${offered.map(([seconds, text]) => html`
          <button type="button" class="chip" key=${seconds} aria-label=${`${label}: ${text}`} aria-pressed=${String(value === seconds)}
            onClick=${() => choose(seconds)}>${text}</button>`)}
      </div>
      ${hint && html`<span class="quiet">${hint}</span>`}
      ${problem && html`<span class="field-problem">${problem}</span>`}
    </fieldset>`;
}

/** A duration as a field of a form, which gets its seconds: `value`, as it is now, until something is typed or chosen. */
export function DurationField({ name, value, problem, ...others }) {
  const [chosen, setSeconds] = useState(undefined);
  const seconds = chosen === undefined ? value ?? null : chosen;
  return html`
    <input type="hidden" name=${name} value=${seconds === null ? "" : Number(seconds.toFixed(3))} />
    <${Duration} ...${others} value=${seconds} onChange=${setSeconds} problem=${isWrong(problem, name) ? problem.message : null} />`;
}
