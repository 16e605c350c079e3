/** Forms: fields with labels, and the values of a form by name. */

import { Problem } from "../core/api.js";
import { t } from "../core/texts.js";
import { html } from "./html.js";
import { ProblemNotice } from "./parts.js";

/** Whether a problem names a field. */
export const isWrong = (problem, name) => Boolean(problem?.field) && problem.field.split(".").includes(name);

/** A labelled control. `problem` marks the field that it names. */
export function Field({ label, name, hint, problem, children }) {
  const isMarked = isWrong(problem, name);
  return html`
    <label class="field ${isMarked ? "field-wrong" : ""}">
      <span class="field-label">${label}</span>
      ${children}
      ${hint && html`<span class="quiet">${hint}</span>`}
      ${isMarked && html`<span class="field-problem">${problem.message}</span>`}
    </label>`;
}

/** `value` is the first value: drawing the page again keeps what was typed since. */
export function TextField({ label, name, hint, problem, value, ...input }) {
  return html`
    <${Field} ...${{ label, name, hint, problem }}>
      <input type="text" autocomplete="off" name=${name} defaultValue=${value} ...${input} />
    <//>`;
}

export function NumberField({ label, name, hint, problem, value, ...input }) {
  return html`
    <${Field} ...${{ label, name, hint, problem }}>
      <input type="number" step="any" inputmode="decimal" name=${name} defaultValue=${value} ...${input} />
    <//>`;
}

/** `options`: texts, or pairs of value and text. */
export function SelectField({ label, name, hint, problem, options, value, ...select }) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  return html`
    <${Field} ...${{ label, name, hint, problem }}>
      <select name=${name} ...${select}>
        ${pairs.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
      </select>
    <//>`;
}

export const CheckField = ({ label, name, checked = false, ...input }) => html`
  <label class="check">
    <input type="checkbox" name=${name} defaultChecked=${checked} ...${input} /> <span>${label}</span>
  </label>`;

/** `onSubmit` gets the form's values. While it is busy the button does nothing, but keeps the focus. */
export function Form({ onSubmit, submit, state, danger = false, children }) {
  function submitted(event) {
    event.preventDefault();
    if (!state.isBusy) onSubmit(values(event.currentTarget));
  }
  return html`
    <form class="form" onSubmit=${submitted}>
      ${children}
      <${ProblemNotice} problem=${state.problem} />
      <div class="buttons">
        <button type="submit" class=${danger ? "danger" : "primary"} aria-disabled=${state.isBusy ? "true" : undefined} onClick=${once}>${submit}</button>
      </div>
    </form>`;
}

/** The second click of a double-click is none: meanwhile the button may say something else. */
const once = (event) => event.detail > 1 && event.preventDefault();

const OF_NUMBERS = new Set(["number", "range", "hidden"]);

/** Names and what stands in the fields: numbers of number fields and of durations (hidden), booleans of checkboxes, null for what is empty. */
function values(form) {
  const found = {};
  for (const { name, type, value, checked } of form.elements) {
    if (!name) continue;
    if (type === "checkbox") found[name] = checked;
    else if (type === "radio") found[name] = checked ? value : found[name] ?? null;
    else if (value.trim() === "") found[name] = null;
    else found[name] = OF_NUMBERS.has(type) ? Number(value) : value.trim();
  }
  return found;
}

/** A copy without what is null: what an API takes as "leave it as it is by default". */
export function given(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined));
}

/** The value of a JSON text, null where it is empty. A Problem that names the field if it is no JSON. */
export function jsonOf(text, field) {
  if (!text?.trim()) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem({ status: 422, detail: t("form.is_not_json", { field, why: error.message }), field });
  }
}
