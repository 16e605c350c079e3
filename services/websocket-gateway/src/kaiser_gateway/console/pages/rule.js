/** One rule: edit it, try it without doing anything, see what it did. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { DryRun } from "./dry_run.js";
import { Executions } from "./executions.js";
import { RuleForm } from "./rule_form.js";
import { NEW_RULE, settingsOf } from "./rule_fields.js";

const PATH = "/api/v1/logic/rules";
const PATH_OF_TEST = "/api/v1/logic/test";

export function RulePage({ ruleId }) {
  const { api, session, toasts } = useApp();
  const isNew = ruleId === "new";
  const url = path`/api/v1/logic/rules/${ruleId}`;
  const loaded = useLoaded(async () => (isNew ? NEW_RULE : api.get(url)), [ruleId]);
  const rule = loaded.data;

  async function save(draft) {
    const settings = settingsOf(draft);
    const saved = isNew ? await api.post(PATH, settings) : await api.put(url, settings);
    toasts.say(`${saved.name} is saved.`);
    if (isNew) location.hash = link("rules", saved.rule_id);
    else loaded.reload();
  }

  const tryIt = (draft) => api.post(PATH_OF_TEST, { settings: settingsOf(draft) });

  return html`
    <${Head} title=${isNew ? "New rule" : rule?.name ?? "Rule"}><a href=${link("rules")}>All rules</a><//>
    <${ListState} loaded=${loaded} count=${1} />
    ${rule && session.may("operator") && html`
      <${Panel} title="Edit"><${RuleForm} rule=${rule} onSave=${save} onTry=${isNew ? tryIt : null} /><//>`}
    ${rule && !session.may("operator") && html`
      <${Panel} title="Settings">
        <pre tabindex="0" aria-label="The rule as JSON">${JSON.stringify(settingsOf(rule), null, 2)}</pre>
      <//>`}
    ${rule && !isNew && html`
      ${session.may("operator") && html`
        <${Panel} title="Dry run"><${DryRun} key=${rule.version} rule=${rule} url=${url} /><//>
        <${RemoveButton} rule=${rule} url=${url} />`}
      <${Panel} title="What it did"><${Executions} ruleId=${ruleId} /><//>`}`;
}

function RemoveButton({ rule, url }) {
  const { api, toasts } = useApp();
  const [isOpen, setOpen] = useState(false);
  const [remove, state] = useAction(async () => {
    await api.delete(url);
    toasts.say(`${rule.name} is removed.`);
    location.hash = link("rules");
  });
  return html`
    <p><button type="button" class="danger-outline" onClick=${() => setOpen(true)}>Remove the rule…</button></p>
    ${isOpen && html`
      <${Dialog} title=${`Remove ${rule.name}?`} onClose=${() => setOpen(false)}>
        <${Form} onSubmit=${remove} submit="Remove" state=${state} danger><p>It will not fire any more.</p><//>
      <//>`}`;
}
