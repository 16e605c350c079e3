/** The form of a rule. */

import { withNames } from "../core/rule_words.js";
import { Duration } from "../ui/duration.js";
import { Field, Form } from "../ui/form.js";
import { html, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Result } from "./dry_run.js";
import { ACTIONS, CONDITIONS, STEPS } from "./rule_fields.js";
import { PartsEditor } from "./rule_parts.js";
import { t } from "../core/texts.js";

const MODES = { edge: t("rule_form.once_when_the_conditions_become"), level: t("rule_form.again_and_again_while_they") };

/** `onSave` gets the rule as it was edited. `onTry`: a rule is saved only once it was tried as it stands; null: at once. */
export function RuleForm({ rule, onSave, onTry = null }) {
  const directory = useDirectory();
  const [draft, setDraft] = useState(rule);
  const [tried, setTried] = useState(null);
  const named = withNames(draft, directory);
  const isTried = onTry === null || tried?.of === meaningOf(draft);
  const [save, state] = useAction(async () => {
    if (isTried) await onSave(named);
    else setTried({ of: meaningOf(draft), result: await onTry(named) });
  });
  const change = (name, value) => setDraft((old) => ({ ...old, [name]: value }));
  const text = (name) => ({ value: draft[name] ?? "", onInput: ({ target }) => change(name, target.value || null) });
  const figure = (name) => ({
    type: "number",
    value: draft[name] ?? "",
    onInput: ({ target }) => change(name, target.value === "" ? null : Number(target.value)),
  });
  return html`
    <${Form} onSubmit=${save} submit=${isTried ? t("common.save") : t("common.try_it")} state=${state}>
      <div class="field-grid">
        <${Field} label=${t("common.name")} name="name" problem=${state.problem}>
          <input maxlength="100" placeholder=${named.name} ...${text("name")} />
        <//>
        <${Field} label=${t("rule_form.description")} name="description" problem=${state.problem}>
          <input maxlength="500" ...${text("description")} />
        <//>
      </div>
      <label class="check">
        <input type="checkbox" checked=${draft.enabled} onChange=${({ target }) => change("enabled", target.checked)} />
        <span>${t("common.enabled")}</span>
      </label>
      <${PartsEditor} title=${t("rule_form.when_all_of_this_is")} items=${draft.conditions} kinds=${CONDITIONS}
        onChange=${(conditions) => change("conditions", conditions)} />
      <${PartsEditor} title=${t("rule_form.do_this")} items=${draft.actions} kinds=${ACTIONS} innerKinds=${STEPS}
        onChange=${(actions) => change("actions", actions)} />
      <div class="field-grid">
        <${Field} label=${t("rule_form.it_fires")} name="mode" problem=${state.problem}>
          <select onChange=${({ target }) => change("mode", target.value)}>
            ${Object.entries(MODES).map(([mode, meaning]) => html`
              <option key=${mode} value=${mode} selected=${mode === draft.mode}>${meaning}</option>`)}
          </select>
        <//>
        <${Duration} label=${t("rule_form.with_a_pause_of_at")} usual=${[60, 600, 3600]} zero=${t("rule_form.no_pause")} value=${draft.cooldown_s}
          required onChange=${(seconds) => change("cooldown_s", seconds)} />
        <${Field} label=${t("rule_form.at_most_times_an_hour")} name="max_executions_per_hour" problem=${state.problem}>
          <input min="1" max="360" ...${figure("max_executions_per_hour")} />
        <//>
        <${Field} label=${t("common.priority")} name="priority" problem=${state.problem} hint=${t("rule_form.of_two_rules_the_higher")}>
          <input required min="0" max="1000" ...${figure("priority")} />
        <//>
      </div>
      ${!isTried && html`<p class="quiet">${t("rule_form.a_new_rule_is_tried")}</p>`}
      ${onTry !== null && isTried && html`<${Result} result=${tried.result} rule=${named} directory=${directory} />`}
    <//>`;
}

/** What a dry run depends on; not the names. */
const meaningOf = ({ conditions, actions, mode }) => JSON.stringify([conditions, actions, mode]);
