/** Gantt charts of orders: a bar for each step, and before it how long the step waited. */

import { duration, orNone } from "../core/format.js";
import { ORDER, partsOf, stepName, stepSeconds } from "../core/factory.js";
import { html } from "../ui/html.js";
import { Badge } from "../ui/parts.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

/** The steps of an order below each other, each in words beside its bar. */
export const GanttSteps = ({ chart, now }) => html`
  <ol class="gantt gantt-steps" aria-label=${t("common.steps")}>
    ${chart.bars.map((bar) => html`
      <li key=${bar.step.id}>
        <span class="gantt-name">${stepName(bar.step)}
          <span class="quiet block">${inWords(bar.step, now)}</span>
          ${bar.parts.length > 0 && html`<span class="quiet block">${partsOf(bar.step)}</span>`}</span>
        <${GanttTrack} bars=${[bar]} />
        <span class="gantt-state"><${Badge} kind=${ORDER[bar.step.state] ?? "idle"}>${word(bar.step.state, "order")}<//></span>
      </li>`)}
  </ol>
  <p class="quiet gantt-axis"><span>${when(chart.fromMs)}</span><span>${when(chart.toMs)}</span></p>
  <p class="quiet"><span class="gantt-key gantt-key-wait" aria-hidden="true"></span> ${t("common.waiting")}
    <span class="gantt-key gantt-finished" aria-hidden="true"></span> ${t("common.done")}
    <span class="gantt-key gantt-in_progress" aria-hidden="true"></span> ${t("factory_gantt.running")}
    <span class="gantt-key gantt-error" aria-hidden="true"></span> ${t("factory_gantt.failed")}
    ${chart.bars.some(({ parts }) => parts.length) && html`
      <span class="gantt-key gantt-part-pass" aria-hidden="true"></span> ${t("factory_gantt.to_a_node_and_on")}
      <span class="gantt-key gantt-part-turn" aria-hidden="true"></span> ${t("factory_gantt.to_a_node_and_turning")}
      <span class="gantt-key gantt-part-dock" aria-hidden="true"></span> ${t("factory_gantt.docking")}`}</p>`;

/** Bars on one line; what they mean stands in words beside them. */
export const GanttTrack = ({ bars }) => html`
  <span class="gantt-track" aria-hidden="true">
    ${bars.filter(({ left }) => left !== null).map(({ step, left, width, waitLeft, waitWidth, parts }) => html`
      ${waitWidth > 0.2 && html`<span key=${`${step.id} wait`} class="gantt-wait" style=${{ left: `${waitLeft}%`, width: `${waitWidth}%` }}></span>`}
      <span key=${step.id} class=${`gantt-bar gantt-${step.state.toLowerCase()}`} title=${stepName(step)}
        style=${{ left: `${left}%`, width: `${width}%` }}></span>
      ${parts.map((part, nth) => html`<span key=${`${step.id} ${nth}`} title=${part.command}
        class=${`gantt-part gantt-part-${part.command.toLowerCase()}`}
        style=${{ left: `${part.left}%`, width: `${part.width}%` }}></span>`)}`)}
  </span>`;

function inWords(step, now) {
  const seconds = stepSeconds(step, now);
  if (seconds === null) return step.serial ? orNone(step.serial) : t("factory_gantt.not_begun");
  const waited = step.waiting_ms > 500 ? t("factory_gantt.after_waiting", { it: duration(step.waiting_ms / 1000) }) : "";
  const result = step.result ? `, ${word(step.result, "result")}` : "";
  return `${duration(seconds)}${step.stopped ? "" : t("factory_gantt.so_far")}${waited}${step.serial ? `, ${step.serial}` : ""}${result}`;
}
