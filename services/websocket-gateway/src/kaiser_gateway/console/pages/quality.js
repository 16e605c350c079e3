/** The quality of a reading, and whether its value is known now. */

import { lastKnown, sensorValue } from "../core/format.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";
import { word } from "../core/texts.js";

const QUALITIES = { excellent: "good", good: "good", fair: "info", poor: "warn", bad: "bad", stale: "warn", error: "bad" };
const STATES = { silent: "warn", offline: "bad" };

/** `knowledge`: see core/known.js; what is not known has no quality but its state. */
export const QualityBadge = ({ quality, knowledge }) => {
  const state = knowledge?.state ?? "known";
  if (state !== "known") return html`<${Badge} kind=${STATES[state]}>${word(state)}<//>`;
  return html`<${Badge} kind=${QUALITIES[quality] ?? "idle"}>${word(quality)}<//>`;
};

/** The value, or what it was when it was known. */
export const valueText = (reading, { state, until }) =>
  state === "known" ? sensorValue(reading) : lastKnown(sensorValue(reading), until);
