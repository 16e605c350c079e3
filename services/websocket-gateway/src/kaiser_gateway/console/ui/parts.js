/** Small parts of pages: badges, notices, facts, empty states. */

import { NONE } from "../core/format.js";
import { html } from "./html.js";
import { t, tx, word } from "../core/texts.js";

const MARKS = { good: "●", bad: "▲", warn: "◆", idle: "○", info: "■" };

/** A state in words with a mark of its own shape, so that colour is not the only sign. */
export const Badge = ({ kind = "idle", children }) =>
  html`<span class="badge badge-${kind}"><span aria-hidden="true">${MARKS[kind]}</span> ${children}</span>`;

/** Why something did not work, and a way to try again. */
export function ProblemNotice({ problem, onRetry }) {
  if (!problem) return null;
  return html`
    <div class="notice notice-bad" role="alert">
      <p>
        <strong>${titleOf(problem)}</strong> <span lang=${problem.code ? "en" : null}>${problem.message}</span>
        ${problem.code ? html` <span class="quiet">${tx("common.code", { code: problem.code })}</span>` : null}
      </p>
      ${onRetry && html`<button type="button" onClick=${onRetry}>${t("parts.try_again")}</button>`}
    </div>`;
}

function titleOf({ status, code }) {
  if (status === 0) return t("parts.no_connection");
  return word(code, "problem", status === 403 ? t("parts.not_allowed") : t("parts.the_request_failed"));
}

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
