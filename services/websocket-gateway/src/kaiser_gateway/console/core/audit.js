/** What a change changed, from an entry of the audit log; pure. */

import { t, word } from "./texts.js";

const HOUR_MS = 3_600_000;

/** Choices of time: name and ms; 0 for all that is kept. */
export const TIMES = [["day", t("common.the_last_day"), 24 * HOUR_MS], ["week", t("audit.the_last_week"), 168 * HOUR_MS], ["all", t("audit.a_year"), 0]];

/** [{name, before, after}]: the fields that differ, by their path; a side that has none of it is undefined. */
export function differences(before, after) {
  const [was, is] = [flat(before), flat(after)];
  const names = [...new Set([...was.keys(), ...is.keys()])];
  return names
    .filter((name) => JSON.stringify(was.get(name)) !== JSON.stringify(is.get(name)))
    .map((name) => ({ name, before: was.get(name), after: is.get(name) }));
}

/** One line of a table: "interval_s 30 → 5, name – → Bed 1", at most `most` fields of it. */
export function inShort(entry, most = 3) {
  const found = differences(entry.before, entry.after);
  const texts = found.slice(0, most).map(({ name, before, after }) => `${name} ${textOf(before)} → ${textOf(after)}`);
  return texts.join(", ") + (found.length > most ? t("audit.and_more", { it: found.length - most }) : "");
}

export const textOf = (value) => (value === undefined || value === null || value === "" ? "–" : String(typeof value === "object" ? JSON.stringify(value) : value));

/** The code at the end of why a change was refused: "no such zone (5001)" → "5001"; null if there is none. */
export const codeIn = (detail) => /\((\d+)\)$/.exec(detail)?.[1] ?? null;

/** set_limits → "set limits", in the language of the console. */
export const actionOf = (action) => word(action, "audited", action.replaceAll("_", " "));

/** What is asked for: the fields of the form, and from when on. */
export function queryOf({ time, ...fields }, nowMs) {
  const [, , spanMs] = TIMES.find(([name]) => name === time) ?? TIMES[0];
  return { ...fields, from_ms: spanMs ? nowMs - spanMs : null };
}

function flat(value, path = "", found = new Map()) {
  for (const [name, part] of Object.entries(value ?? {})) {
    const own = path ? `${path}.${name}` : name;
    if (part !== null && typeof part === "object" && !Array.isArray(part)) flat(part, own, found);
    else found.set(own, part);
  }
  return found;
}
