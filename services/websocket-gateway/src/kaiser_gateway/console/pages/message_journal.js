/** A command of the factory's journal, followed to its end. */

import { path } from "../core/api.js";
import { html, useApp, useEffect } from "../ui/html.js";
import { useEvents, useEvery, useLoaded } from "../ui/hooks.js";
import { Badge, ProblemNotice } from "../ui/parts.js";
import { tx } from "../core/texts.js";

const KINDS = { finished: "good", sent: "info", accepted: "info", queued: "info", unconfirmed: "warn", abandoned: "warn" };
const OPEN = new Set(["queued", "unconfirmed", "accepted"]);
const ASK_AGAIN_MS = 2000;

/** `sent`: the entry as it was answered; asked again until it has ended, as its event may be conflated away. */
export function JournalEntry({ sent, onEnd = null }) {
  const { api } = useApp();
  const url = path`/api/v1/factory/commands/${sent.command_id}`;
  const loaded = useLoaded(() => api.get(url), [url]);
  const command = loaded.data ?? sent;
  const isOpen = OPEN.has(command.state);

  useEvents((batch) => batch.some(({ data }) => data.command_id === sent.command_id) && loaded.reloadSoon());
  useEvery(ASK_AGAIN_MS, () => isOpen && loaded.reload());
  useEffect(() => {
    if (!isOpen) onEnd?.();
  }, [isOpen]);

  return html`
    <p class="command-state" role="status">
      <span class="topic">${command.topic}</span> <${Badge} kind=${KINDS[command.state] ?? "bad"}>${command.state}<//>
      ${command.result && html` <span class="quiet">${command.result}</span>`}
      ${command.code && html` <span class="quiet">${tx("common.code", { code: command.code })}</span>`}
    </p>
    <${ProblemNotice} problem=${loaded.problem} />`;
}
