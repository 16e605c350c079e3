/** Rules: the list, their state, and their executions. */

import { path } from "../core/api.js";
import { actionsText, ruleText, zonesOfRule } from "../core/rule_words.js";
import { Button } from "../ui/button.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useEvents, usePages } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Badge, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { MoreButton, Table } from "../ui/table.js";
import { Executions, OutcomeBadge } from "./executions.js";
import { RulePage } from "./rule.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

const PATH = "/api/v1/logic/rules";

export function Rules({ parts: [ruleId] }) {
  return ruleId ? html`<${RulePage} ruleId=${ruleId} />` : html`<${RuleList} />`;
}

function RuleList() {
  const { api, session } = useApp();
  const loaded = usePages((cursor) => api.get(PATH, { cursor }), []);
  useEvents((batch) => batch.some(({ type }) => type === "logic_execution") && loaded.reloadSoon());
  const rules = loaded.data?.items ?? [];
  const directory = useDirectory();
  return html`
    <${Head} title=${t("common.rules")}>
      ${session.may("operator") && html`<a class="button primary" href=${link("rules", "new")}>${t("common.new_rule")}</a>`}
    <//>
    <${ListState} loaded=${loaded} count=${rules.length} empty=${t("rules.there_is_no_rule_a")} />
    <${Table} label=${t("common.rules")} rows=${rules} keyOf=${(rule) => rule.rule_id} groupOf=${(rule) => zonesOfRule(rule, directory)}
      columns=${columns(loaded.reload, directory)} />
    <${MoreButton} cursor=${loaded.data?.next_cursor} isBusy=${loaded.isMore} onMore=${loaded.more} />
    <${Panel} title=${t("rules.what_rules_did")}><${Executions} /><//>`;
}

const columns = (reload, directory) => [
  {
    name: t("common.rule"),
    cell: (rule) => html`
      <a href=${link("rules", rule.rule_id)}>${rule.name}</a>
      <span class="quiet block">${rule.description || `${ruleText(rule, directory)}: ${actionsText(rule, directory)}`}</span>`,
  },
  {
    name: t("common.state"),
    cell: ({ enabled }) => html`<${Badge} kind=${enabled ? "good" : "idle"}>${enabled ? t("rules.enabled") : word("off")}<//>`,
  },
  { name: t("common.priority"), cell: (rule) => rule.priority, class: "figure" },
  {
    name: t("rules.last_did"),
    cell: ({ last_outcome: outcome, last_executed_at: at }) =>
      (outcome ? html`<${OutcomeBadge} outcome=${outcome} /> ${when(at)}` : t("common.never")),
  },
  { name: t("rules.switch"), class: "actions", cell: (rule) => html`<${Switch} rule=${rule} onDone=${reload} />` },
];

function Switch({ rule, onDone }) {
  const { api, session } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    await api.patch(path`/api/v1/logic/rules/${rule.rule_id}`, { enabled: !rule.enabled });
    onDone();
  });
  if (!session.may("operator")) return null;
  const verb = rule.enabled ? t("rules.turn_off") : t("rules.turn_on");
  return html`
    <${Button} isBusy=${isBusy} aria-label=${`${verb} ${rule.name}`} onClick=${() => run()}>${verb}<//>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
