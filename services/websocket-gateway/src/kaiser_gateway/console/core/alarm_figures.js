/** The figures of alarms: the group and the time in the address of their page, and the links of a row; pure. */

import { filterParts } from "./list_filters.js";
import { sensorPage } from "./overview.js";

export const BY = ["kind", "source", "zone"];
export const NAMES = ["by", "span", "to"];
const USUAL_SPAN_MS = 7 * 86_400_000;
const LONGEST_MS = 366 * 86_400_000;

/** {by, range: {spanMs, toMs}} of the filters in an address; what cannot be read of it is the usual. */
export function askedBy({ by, span, to }) {
  const spanMs = /^\d{4,12}$/.test(span) && Number(span) <= LONGEST_MS ? Number(span) : USUAL_SPAN_MS;
  return { by: BY.includes(by) ? by : "kind", range: { spanMs, toMs: /^\d{12,14}$/.test(to) ? Number(to) : null } };
}

/** The filters in an address that ask for this range. */
export const rangeFilters = ({ spanMs, toMs }) => ({ span: String(spanMs), to: toMs === null ? "" : String(toMs) });

/** The parts of the address of all alarms of a row. */
export function alarmsOf(by, { name }) {
  if (by === "zone") return name ? ["alarms", ...filterParts({ shown: "all", zone_id: name })] : null;
  return name ? ["alarms", ...filterParts({ shown: "all", [by]: name })] : null;
}

/** The parts of the address of what a row is about; null: it has no page. */
export function pageOf(by, { name, esp_id: espId, gpio, sensor_type: type, address }) {
  if (by === "zone") return name ? ["zones", name] : null;
  if (by === "kind" || !espId) return null;
  if (type) return sensorPage({ esp_id: espId, gpio, sensor_type: type, address });
  return gpio === null || gpio === undefined ? ["devices", espId] : ["actuators", espId, gpio];
}
