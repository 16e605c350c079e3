/** The editor of conditions and actions: a list of cards, which may hold lists. */

import { Chips, DAYS } from "../ui/chips.js";
import { Duration } from "../ui/duration.js";
import { Field } from "../ui/form.js";
import { html } from "../ui/html.js";
import { PartPicker } from "./rule_pickers.js";
import { t } from "../core/texts.js";

/** `items`: conditions or actions; `kinds` says what there is: see rule_fields.js. */
export function PartsEditor({ title, items, kinds, innerKinds = kinds, onChange }) {
  const replace = (index, item) => onChange(items.map((old, place) => (place === index ? item : old)));
  const remove = (index) => onChange(items.filter((_, place) => place !== index));
  const [first] = Object.keys(kinds);
  return html`
    <fieldset class="parts">
      <legend>${title}</legend>
      ${items.map((item, index) => html`
        <div class="part" key=${index}>
          <${PartEditor} item=${item} kinds=${kinds} innerKinds=${innerKinds} onChange=${(next) => replace(index, next)} />
          <button type="button" aria-label=${t("common.remove_7", { it: kinds[item.type].text })} onClick=${() => remove(index)}>${t("common.remove")}</button>
        </div>`)}
      <button type="button" onClick=${() => onChange([...items, { type: first, ...kinds[first].start }])}>${t("common.add")}</button>
    </fieldset>`;
}

function PartEditor({ item, kinds, innerKinds, onChange }) {
  const { fields, parts } = kinds[item.type];
  const shown = fields.filter(({ when = () => true }) => when(item));
  const change = (name, value) => onChange({ ...item, [name]: value });
  return html`
    <div class="field-grid">
      <${Field} label=${t("common.kind")}>
        <select value=${item.type} onChange=${({ target }) => onChange({ type: target.value, ...kinds[target.value].start })}>
          ${Object.entries(kinds).map(([type, { text }]) => html`
            <option key=${type} value=${type} selected=${type === item.type}>${text}</option>`)}
        </select>
      <//>
      ${shown.map((field) => (field.names
        ? html`<${PartPicker} key=${field.name} field=${field} item=${item} onChange=${(named) => onChange({ ...item, ...named })} />`
        : html`<${PartField} key=${field.name} field=${field} value=${item[field.name]}
            onChange=${(value) => change(field.name, value)} />`))}
    </div>
    ${parts && html`
      <${PartsEditor} title=${t("common.of_these")} items=${item[parts]} kinds=${innerKinds} onChange=${(next) => change(parts, next)} />`}`;
}

function PartField({ field, value, onChange }) {
  const { name, label, kind, options, when, ...input } = field;
  if (kind === "duration") return html`<${Duration} label=${label} value=${value} onChange=${onChange} ...${input} />`;
  if (kind === "days") {
    return html`
      <${Chips} legend=${t("rule_parts.on_none_chosen")} options=${DAYS} chosen=${value ?? []}
        onChange=${(days) => onChange(days.length ? days : null)} />`;
  }
  if (kind === "check") {
    return html`
      <label class="check">
        <input type="checkbox" checked=${value} onChange=${({ target }) => onChange(target.checked)} /> <span>${label}</span>
      </label>`;
  }
  return html`
    <${Field} label=${label}>
      ${kind === "select"
        ? html`<select onChange=${({ target }) => onChange(target.value)}>${options.map((one) => option(one, value))}</select>`
        : html`<input type=${kind} step="any" ...${input} value=${value ?? ""}
            onInput=${({ target }) => onChange(inputValue(kind, target.value))} />`}
    <//>`;
}

function option(one, value) {
  const [key, text] = Array.isArray(one) ? one : [one, one];
  return html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`;
}

function inputValue(kind, text) {
  if (text.trim() === "") return null;
  return kind === "number" ? Number(text) : text;
}
