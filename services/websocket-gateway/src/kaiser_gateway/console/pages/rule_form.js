/** The form of a rule. */

import { Field, Form } from "../ui/form.js";
import { html, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { ACTIONS, CONDITIONS, STEPS } from "./rule_fields.js";
import { PartsEditor } from "./rule_parts.js";

const MODES = { edge: "once, when the conditions become true", level: "again and again while they are true" };

/** `onSave` gets the rule as it was edited. */
export function RuleForm({ rule, onSave }) {
  const [draft, setDraft] = useState(rule);
  const [save, state] = useAction(() => onSave(draft));
  const change = (name, value) => setDraft((old) => ({ ...old, [name]: value }));
  const text = (name) => ({ value: draft[name] ?? "", onInput: ({ target }) => change(name, target.value || null) });
  const figure = (name) => ({
    type: "number",
    value: draft[name] ?? "",
    onInput: ({ target }) => change(name, target.value === "" ? null : Number(target.value)),
  });
  return html`
    <${Form} onSubmit=${save} submit="Save" state=${state}>
      <div class="field-grid">
        <${Field} label="Name" name="name" problem=${state.problem}>
          <input required maxlength="100" ...${text("name")} />
        <//>
        <${Field} label="Description" name="description" problem=${state.problem}>
          <input maxlength="500" ...${text("description")} />
        <//>
      </div>
      <label class="check">
        <input type="checkbox" checked=${draft.enabled} onChange=${({ target }) => change("enabled", target.checked)} />
        <span>Enabled</span>
      </label>
      <${PartsEditor} title="When all of this is true" items=${draft.conditions} kinds=${CONDITIONS}
        onChange=${(conditions) => change("conditions", conditions)} />
      <${PartsEditor} title="do this" items=${draft.actions} kinds=${ACTIONS} innerKinds=${STEPS}
        onChange=${(actions) => change("actions", actions)} />
      <div class="field-grid">
        <${Field} label="It fires" name="mode" problem=${state.problem}>
          <select onChange=${({ target }) => change("mode", target.value)}>
            ${Object.entries(MODES).map(([mode, meaning]) => html`
              <option key=${mode} value=${mode} selected=${mode === draft.mode}>${meaning}</option>`)}
          </select>
        <//>
        <${Field} label="with a pause of at least … s" name="cooldown_s" problem=${state.problem}>
          <input required min="0" step="any" ...${figure("cooldown_s")} />
        <//>
        <${Field} label="at most … times an hour" name="max_executions_per_hour" problem=${state.problem}>
          <input min="1" max="360" ...${figure("max_executions_per_hour")} />
        <//>
        <${Field} label="Priority" name="priority" problem=${state.problem} hint="of two rules the higher wins an actuator">
          <input required min="0" max="1000" ...${figure("priority")} />
        <//>
      </div>
    <//>`;
}
