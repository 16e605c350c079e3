/** The state of an actuator, live. */

import { actuatorState, duration, isStateKnown, lastReported } from "../core/format.js";
import { actuatorAfter, actuatorReported } from "../core/known.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";
import { t, tx } from "../core/texts.js";

/** The actuator after a batch of events. A report says that its device is online. */
export function withEvents(actuator, batch) {
  return batch.reduce((known, event) => {
    const { type, data } = event;
    if (type === "actuator_status" && data.esp_id === known.esp_id && data.gpio === known.gpio) {
      return actuatorReported(known, data);
    }
    return actuatorAfter(known, event) ?? known;
  }, actuator);
}

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
