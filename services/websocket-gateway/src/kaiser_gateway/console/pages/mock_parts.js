/** What the list of mocks and a mock's page share: its state, and its switch. */

import { path } from "../core/api.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { t } from "../core/texts.js";

export function MockBadge({ mock }) {
  if (mock.emergency === "active") return html`<${Badge} kind="bad">${t("mock_parts.emergency")}<//>`;
  if (!mock.running) return html`<${Badge}>${t("common.stopped")}<//>`;
  const kind = mock.state === "OPERATIONAL" ? "good" : mock.state === "ERROR" ? "bad" : "warn";
  return html`<${Badge} kind=${kind}>${mock.state}<//>`;
}

export function StartStop({ mock, onDone }) {
  const { api, toasts } = useApp();
  const verb = mock.running ? "stop" : "start";
  const [run, { isBusy, problem }] = useAction(async () => {
    await api.post(path`/api/v1/debug/mock-esp/${mock.esp_id}/${verb}`);
    toasts.say(`${mock.esp_id}: ${verb === "start" ? "started" : "stopped"}.`);
    onDone();
  });
  return html`
    <button type="button" disabled=${isBusy} aria-label=${`${verb} ${mock.esp_id}`} onClick=${() => run()}>
      ${verb === "start" ? t("mock_parts.start") : t("mock_parts.stop")}</button>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
