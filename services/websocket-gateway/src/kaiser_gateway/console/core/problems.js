/** Why a request failed, in the language of the console; pure. */

import { number } from "./format.js";
import { isEnglish, sentence, t, word } from "./texts.js";

/** The kind of a problem, from its code. */
export function titleOf({ status, code }) {
  if (status === 0) return t("parts.no_connection");
  return word(code, "problem", status === 403 ? t("parts.not_allowed") : t("parts.the_request_failed"));
}

/** The rule that a field broke: "at least 60"; "" if only the server's text has it. */
export const ruleText = ({ rule, limit }) =>
  sentence(rule, "violation", { limit: typeof limit === "number" ? number(limit) : limit }) ?? "";

/** The text of a problem: `detail` in English, or if there is no code, because the console then wrote it itself; else the
 *  sentence of its code. */
export function problemText(problem, detail) {
  if (isEnglish() || problem.code === null || problem.code === undefined) return detail;
  return [titleOf(problem), ruleText(problem)].filter(Boolean).join(" ");
}

/** Why a message was rejected, in short. */
export const rejectionText = ({ code, text }) => (isEnglish() ? text : word(code, "problem", text));
