/** One rule: edit it, try it without doing anything, see what it did. */

import { path } from "../core/api.js";
import { changesOf } from "../core/changes.js";
import { Dialog } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useLoaded } from "../ui/hooks.js";
import { Head, ListState, Panel } from "../ui/parts.js";
import { link, useGo } from "../ui/route.js";
import { DryRun } from "./dry_run.js";
import { Executions } from "./executions.js";
import { RuleForm } from "./rule_form.js";
import { NEW_RULE, settingsOf } from "./rule_fields.js";
import { t } from "../core/texts.js";

const PATH = "/api/v1/logic/rules";
const PATH_OF_TEST = "/api/v1/logic/test";

export function RulePage({ ruleId }) {
  const { api, session, toasts } = useApp();
  const isNew = ruleId === "new";
  const go = useGo();
  const url = path`/api/v1/logic/rules/${ruleId}`;
  const loaded = useLoaded(async () => (isNew ? NEW_RULE : api.get(url)), [ruleId]);
  const rule = loaded.data;

  async function save(draft) {
    const settings = settingsOf(draft);
    const saved = isNew ? await api.post(PATH, settings)
      : await api.patch(url, changesOf(settingsOf(rule), settings), { version: rule.version });
    toasts.say(t("common.is_saved", { name: saved.name }));
    if (isNew) go("rules", saved.rule_id);
    else loaded.setData(() => saved);
  }

  const tryIt = (draft) => api.post(PATH_OF_TEST, { settings: settingsOf(draft) });

  return html`
    <${Head} title=${isNew ? t("common.new_rule") : rule?.name ?? t("common.rule")}><a href=${link("rules")}>${t("rule.all_rules")}</a><//>
    <${ListState} loaded=${loaded} count=${1} />
    ${rule && session.may("operator") && html`
      <${Panel} title=${t("rule.edit")}><${RuleForm} rule=${rule} onSave=${save} onTry=${isNew ? tryIt : null} /><//>`}
    ${rule && !session.may("operator") && html`
      <${Panel} title=${t("common.settings")}>
        <pre tabindex="0" aria-label=${t("rule.the_rule_as_json")}>${JSON.stringify(settingsOf(rule), null, 2)}</pre>
      <//>`}
    ${rule && !isNew && html`
      ${session.may("operator") && html`
        <${Panel} title=${t("rule.dry_run")}><${DryRun} key=${JSON.stringify(rule.conditions)} rule=${rule} url=${url} /><//>
        <${RemoveButton} rule=${rule} url=${url} />`}
      <${Panel} title=${t("rule.what_it_did")}><${Executions} ruleId=${ruleId} /><//>`}`;
}

function RemoveButton({ rule, url }) {
  const { api, toasts } = useApp();
  const [isOpen, open, close] = useDialog();
  const go = useGo();
  const [remove, state] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("common.is_removed_2", { name: rule.name }));
    go("rules");
  });
  return html`
    <p><button type="button" class="danger-outline" onClick=${() => open()}>${t("rule.remove_the_rule")}</button></p>
    ${isOpen && html`
      <${Dialog} title=${t("common.remove_5", { name: rule.name })} onClose=${close}>
        <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${state} danger><p>${t("rule.it_will_not_fire_any")}</p><//>
      <//>`}`;
}
