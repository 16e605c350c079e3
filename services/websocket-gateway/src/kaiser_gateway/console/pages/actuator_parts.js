/** The state of an actuator, live. */

import { actuatorState, dateTime, lastKnown } from "../core/format.js";
import { actuatorAfter } from "../core/known.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";

/** The actuator after a batch of events. A report says that its device is online. */
export function withEvents(actuator, batch) {
  return batch.reduce((known, event) => {
    const { type, data } = event;
    if (type === "actuator_status" && data.esp_id === known.esp_id && data.gpio === known.gpio) {
      const { state, value, ts, error } = data;
      return { ...known, state, value, reported_at: ts, last_error: error, known: true, known_until: null };
    }
    return actuatorAfter(known, event) ?? known;
  }, actuator);
}

const isKnown = ({ known, state }) => known !== false && state !== null;

export function StateBadge({ actuator }) {
  if (actuator.emergency === "active") return html`<${Badge} kind="bad">stopped<//>${whatWasKnown(actuator)}`;
  if (!isKnown(actuator)) {
    return html`<${Badge} kind="warn">not known<//>${whatWasKnown(actuator)}`;
  }
  const kind = actuator.state ? "good" : "idle";
  return html`<${Badge} kind=${kind}>${actuatorState(actuator)}<//>`;
}

function whatWasReported({ state, known_until: until, ...actuator }) {
  if (state !== null) return lastKnown(actuatorState({ state, ...actuator }), until);
  return until ? `not known since ${dateTime(until)}` : "no state was reported yet";
}

function whatWasKnown(actuator) {
  if (isKnown(actuator)) return null;
  return html`<span class="quiet block">${whatWasReported(actuator)}</span>`;
}
