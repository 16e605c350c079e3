/** The state of an actuator. */

import { actuatorState, duration, isStateKnown, lastReported } from "../core/format.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";
import { t, tx } from "../core/texts.js";

/** The state, how long it has been on (with `nowMs`), or what was known last. */
export function StateBadge({ actuator, nowMs = null }) {
  if (actuator.emergency === "active") return html`<${Badge} kind="bad">${t("actuator_parts.stopped")}<//>${lastReport(actuator)}`;
  if (!isStateKnown(actuator)) {
    return html`<${Badge} kind="warn">${t("common.not_known")}<//>${lastReport(actuator)}`;
  }
  const kind = actuator.state ? "good" : "idle";
  return html`<${Badge} kind=${kind}>${actuatorState(actuator)}<//>${onFor(actuator, nowMs)}`;
}

function onFor({ state, on_since: since }, nowMs) {
  if (!state || !since || nowMs === null) return null;
  return html` <span class="quiet">${tx("actuator_parts.for", { it: duration(Math.max(0, Math.round((nowMs - since) / 1000))) })}</span>`;
}

function lastReport(actuator) {
  if (isStateKnown(actuator)) return null;
  return html`<span class="quiet block">${lastReported(actuator)}</span>`;
}
