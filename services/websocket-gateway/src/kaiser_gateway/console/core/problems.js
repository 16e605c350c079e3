/** Why a request failed, in the language of the console; pure. */

import { number } from "./format.js";
import { isEnglish, sentence, t, word } from "./texts.js";

/** What kind of problem it is, from its code. */
export function titleOf({ status, code }) {
  if (status === 0) return t("parts.no_connection");
  return word(code, "problem", status === 403 ? t("parts.not_allowed") : t("parts.the_request_failed"));
}

/** What must be true of the field that is wrong: "at least 60"; "" where only the server's text says it. */
export const ruleText = ({ rule, limit }) =>
  sentence(rule, "violation", { limit: typeof limit === "number" ? number(limit) : limit }) ?? "";

/** What people read of a problem. The server's text where it is in their language, or has no code, so it is not the
 *  server's: the console's own. */
export function problemText(problem, detail) {
  if (isEnglish() || problem.code === null || problem.code === undefined) return detail;
  return [titleOf(problem), ruleText(problem)].filter(Boolean).join(" ");
}

/** Why a message was rejected, in short. */
export const rejectionText = ({ code, text }) => (isEnglish() ? text : word(code, "problem", text));
