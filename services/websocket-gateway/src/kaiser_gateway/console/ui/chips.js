/** A choice of several, each a chip that is on or off. */

import { html } from "./html.js";
import { t } from "../core/texts.js";

/** `options`: pairs of value and text. `chosen`: values; `onChange` gets them in the order of the options. */
export function Chips({ legend, options, chosen, onChange, problem }) {
  function toggle(value) {
    const next = new Set(chosen);
    if (!next.delete(value)) next.add(value);
    onChange(options.map(([each]) => each).filter((each) => next.has(each)));
  }
  return html`
    <fieldset class="chips">
      <legend>${legend}</legend>
      ${options.map(([value, text]) => html`
        <label class="chip" key=${value}>
          <input type="checkbox" checked=${chosen.includes(value)} onChange=${() => toggle(value)} /> ${text}
        </label>`)}
      ${problem && html`<span class="field-problem" role="alert">${problem}</span>`}
    </fieldset>`;
}

/** Days of the week, 0 Monday … 6 Sunday; none chosen means every day. */
export const DAYS = [t("chips.mon"), t("chips.tue"), t("chips.wed"), t("chips.thu"), t("chips.fri"), t("chips.sat"), t("chips.sun")].map((name, day) => [day, name]);
