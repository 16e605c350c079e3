/** What the list of mocks and a mock's page share: its state, and its switch. */

import { path } from "../core/api.js";
import { Button } from "../ui/button.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { t, word } from "../core/texts.js";

export function MockBadge({ mock }) {
  if (mock.emergency === "active") return html`<${Badge} kind="bad">${t("mock_parts.emergency")}<//>`;
  if (!mock.running) return html`<${Badge}>${t("common.stopped")}<//>`;
  const kind = mock.state === "OPERATIONAL" ? "good" : mock.state === "ERROR" ? "bad" : "warn";
  return html`<${Badge} kind=${kind}>${word(mock.state, "mock")}<//>`;
}

export function StartStop({ mock, onDone }) {
  const { api, toasts } = useApp();
  const device = mock.esp_id;
  const verb = mock.running ? "stop" : "start";
  const [run, { isBusy, problem }] = useAction(async () => {
    await api.post(path`/api/v1/debug/mock-esp/${device}/${verb}`);
    toasts.say(verb === "start" ? t("mock_parts.is_started", { device }) : t("mock_parts.is_stopped", { device }));
    onDone();
  });
  return html`
    <${Button} isBusy=${isBusy} aria-label=${verb === "start" ? t("mock_parts.start_2", { device }) : t("mock_parts.stop_2", { device })} onClick=${() => run()}>
      ${verb === "start" ? t("mock_parts.start") : t("mock_parts.stop")}<//>
    ${problem && html`<span class="field-problem block" role="alert">${problem.message}</span>`}`;
}
