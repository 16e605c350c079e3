/** Small parts of pages: badges, notices, facts, empty states. */

import { NONE } from "../core/format.js";
import { ruleText, titleOf } from "../core/problems.js";
import { html } from "./html.js";
import { isEnglish, t, tx, word } from "../core/texts.js";

const MARKS = { good: "●", bad: "▲", warn: "◆", idle: "○", info: "■" };

/** A state in words with a mark of its own shape, so that colour is not the only sign. */
export const Badge = ({ kind = "idle", children }) =>
  html`<span class="badge badge-${kind}"><span aria-hidden="true">${MARKS[kind]}</span> ${children}</span>`;

const LOGIN_REFUSED = 5410; // after a mistyped password a code says nothing more

/** Why something did not work, and a way to try again. */
export function ProblemNotice({ problem, onRetry }) {
  if (!problem) return null;
  return html`
    <div class="notice notice-bad" role="alert">
      <p>
        <strong>${titleOf(problem)}</strong> ${isEnglish() || !problem.code ? problem.message : html`<${Wrong} problem=${problem} />`}
        ${problem.code && problem.code !== LOGIN_REFUSED ? html` <span class="quiet">${tx("common.code", { code: problem.code })}</span>` : null}
      </p>
      ${problem.code ? html`<${ServerText} text=${problem.detail} />` : null}
      ${onRetry && html`<button type="button" onClick=${onRetry}>${t("parts.try_again")}</button>`}
    </div>`;
}

/** Which field is wrong, and how. */
const Wrong = ({ problem }) => html`
  ${problem.field && tx("parts.of_field", { field: html`<code>${problem.field}</code>` })} ${ruleText(problem)}`;

/** A text of the server, which is English: folded in other languages; nothing in English, where the page shows it
 *  already. */
export const ServerText = ({ text }) => (isEnglish() || !text ? null : html`
  <details class="server-text"><summary>${t("parts.in_english")}</summary><span lang="en">${text}</span></details>`);

/** The same if nothing else shows it: in English as it is. */
export const Reason = ({ text }) => (!text ? null : isEnglish() ? html`<span class="quiet">${text}</span>` : html`<${ServerText} text=${text} />`);

/** Why a message was rejected: from its code and field, with the server's text. */
export const Rejection = ({ code, field, text }) => (isEnglish() ? text : html`
  ${word(code, "problem", "")} ${field && html`<code>${field}</code>`}<${ServerText} text=${text} />`);

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

const Loading = () => html`<p class="empty" role="status">${t("parts.loading")}</p>`;

/** Pairs of name and value. */
export const Facts = ({ facts }) => html`
  <dl class="facts">
    ${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value ?? NONE}</dd></div>`)}
  </dl>`;

/** The head of a page: its title, which gets the focus when the page is opened, and what can be done there. */
export const Head = ({ title, children }) => html`
  <div class="head"><h1 tabindex="-1">${title}</h1><div class="head-actions">${children}</div></div>`;

export const Panel = ({ title, children, class: className = "" }) => html`
  <section class="panel ${className}"><h2>${title}</h2>${children}</section>`;

/** What a list shows while it loads, when it failed (what is known stays), and when it is empty. */
export function ListState({ loaded, count, empty }) {
  if (loaded.problem) return html`<${ProblemNotice} problem=${loaded.problem} onRetry=${loaded.reload} />`;
  if (loaded.isLoading && !loaded.data) return html`<${Loading} />`;
  return count === 0 ? html`<${Empty}>${empty}<//>` : null;
}
