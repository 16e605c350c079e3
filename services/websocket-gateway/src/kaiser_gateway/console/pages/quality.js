/** The quality of a reading. */

import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";

const QUALITIES = { excellent: "good", good: "good", fair: "info", poor: "warn", bad: "bad", stale: "warn", error: "bad" };

export const QualityBadge = ({ quality }) => html`<${Badge} kind=${QUALITIES[quality] ?? "idle"}>${quality}<//>`;
