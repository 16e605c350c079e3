/** The state of an actuator, live. */

import { actuatorState } from "../core/format.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";

/** The actuator as its last status event has it. */
export function withStatus(actuator, news) {
  if (!news) return actuator;
  return { ...actuator, state: news.state, value: news.value, reported_at: news.ts, last_error: news.error };
}

export function StateBadge({ actuator }) {
  if (actuator.emergency === "active") return html`<${Badge} kind="bad">stopped<//>`;
  const kind = actuator.state ? "good" : "idle";
  return html`<${Badge} kind=${kind}>${actuatorState(actuator)}<//>`;
}
