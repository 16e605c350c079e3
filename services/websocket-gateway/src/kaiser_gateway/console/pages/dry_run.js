/** The dry run of a rule: what would happen with these values; nothing is sent. */

import { sensorText } from "../core/names.js";
import { actionsText } from "../core/rule_words.js";
import { DurationField } from "../ui/duration.js";
import { Form, NumberField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Badge, Reason } from "../ui/parts.js";
import { Conditions } from "./executions.js";
import { isEnglish, t } from "../core/texts.js";

const USUAL_S = [60, 600, 3600];

export function DryRun({ rule, url }) {
  const { api } = useApp();
  const [result, setResult] = useState(null);
  const directory = useDirectory();
  const sensors = sensorsOf(rule.conditions);
  const [run, state] = useAction(async ({ held_s: heldS, ...fields }) => {
    const values = sensors.map((sensor, index) => ({ ...sensor, value: fields[`value_${index}`] }));
    const body = { values: values.filter(({ value }) => value !== null), held_s: heldS ?? 0 };
    setResult({ of: rule.version, ...(await api.post(`${url}/test`, body)) });
  });
  return html`
    <${Form} onSubmit=${run} submit=${t("common.try_it")} state=${state}>
      <div class="field-grid">
        ${sensors.map((sensor, index) => html`
          <${NumberField} key=${index} label=${t("dry_run.suppose", { it: sensorText(directory, sensor) })}
            name=${`value_${index}`} hint=${t("dry_run.empty_as_it_is_now")} problem=${state.problem} />`)}
        <${DurationField} label=${t("dry_run.it_has_been_so_for")} name="held_s" usual=${USUAL_S} zero=${t("dry_run.no_time_yet")} value=${0}
          problem=${state.problem} />
      </div>
    <//>
    ${result?.of === rule.version && html`<${Result} ...${{ result, rule, directory }} />`}`;
}

/** `rule`: the one that was tried; in other languages than English its actions are worded as on other pages. */
export const Result = ({ result, rule, directory }) => html`
  <div class="dry-run" role="status">
    <p>
      <${Badge} kind=${result.would_fire ? "good" : "idle"}>${result.would_fire ? t("dry_run.it_would_fire") : t("dry_run.it_would_not_fire")}<//>
      ${" "}<${Reason} text=${result.reason} />
    </p>
    <${Conditions} conditions=${result.conditions} />
    ${result.actions.length > 0 && html`
      <h3>${t("dry_run.then")}</h3>
      <ul class="reports">${actionsOf(result, rule, directory).map((text, index) => html`<li key=${index}>${text}</li>`)}</ul>`}
  </div>`;

const actionsOf = (result, rule, directory) =>
  isEnglish() ? result.actions : rule.actions.map((one) => actionsText({ actions: [one] }, directory));

/** The sensors that the conditions name, each once. */
function sensorsOf(conditions) {
  const found = new Map();
  for (const { type, conditions: inner, esp_id, gpio, sensor_type, address } of conditions) {
    if (type === "compound") for (const sensor of sensorsOf(inner)) found.set(JSON.stringify(sensor), sensor);
    else if (esp_id) {
      const sensor = { esp_id, gpio, ...(sensor_type && { sensor_type }), ...(address && { address }) };
      found.set(JSON.stringify(sensor), sensor);
    }
  }
  return [...found.values()];
}
