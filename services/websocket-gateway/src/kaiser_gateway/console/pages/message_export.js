/** What is shown as a file: a recording in Kaiser's form. Payloads that are too large for the list are asked for. */

import { path } from "../core/api.js";
import { recordingOf } from "../core/message_list.js";
import { Button } from "../ui/button.js";
import { download } from "../ui/download.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { ProblemNotice } from "../ui/parts.js";
import { t } from "../core/texts.js";

export function ExportButton({ items, env }) {
  const { api } = useApp();
  const [save, state] = useAction(async () => {
    const whole = [];
    for (const item of [...items].sort((one, other) => one.seq - other.seq)) {
      const isWhole = item.payload !== undefined || item.payload_base64 !== undefined;
      whole.push(isWhole ? item : await api.get(path`/api/v1/messages/${item.seq}`));
    }
    const file = new Blob([recordingOf(whole, env)], { type: "application/x-ndjson" });
    download(file, `messages-${env}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.log`);
  });
  return html`
    <${Button} disabled=${items.length === 0} isBusy=${state.isBusy} onClick=${save}>${t("common.export")}<//>
    <${ProblemNotice} problem=${state.problem} />`;
}
