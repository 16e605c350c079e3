/** The picture of a chart as a file: the chart, the time that it shows, and the name of each line. */

import { wrapped } from "../core/wrapped.js";
import { cssColour } from "./chart.js";

const TEXT_PX = 13;
const ROW_PX = 20;
const MARGIN_PX = 12;
const SAMPLE_PX = 24;

/**
 * A canvas as wide as `chart`, a canvas, with the colour of the page behind it. Below the chart stands `heading`, then a row
 * for each of `lines`, [{text, colour: a custom property, ghost}], with a sample of the line.
 */
export function withLegend(chart, heading, lines) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const ratio = devicePixelRatio;
  const font = `${TEXT_PX * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  const beside = (2 * MARGIN_PX + SAMPLE_PX) * ratio;
  context.font = font;
  const rowsOf = (text, left) =>
    wrapped(text, chart.width - left - MARGIN_PX * ratio, (part) => context.measureText(part).width).map((part) => ({ text: part, left }));
  const rows = [
    ...rowsOf(heading, MARGIN_PX * ratio),
    ...lines.flatMap((line) => rowsOf(line.text, beside).map((row, index) => ({ ...row, line: index ? null : line }))),
  ];

  canvas.width = chart.width;
  canvas.height = chart.height + (2 * MARGIN_PX + rows.length * ROW_PX) * ratio; // this makes a context forget its font
  context.fillStyle = cssColour("--surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(chart, 0, 0);
  context.font = font;
  context.textBaseline = "middle";
  context.fillStyle = cssColour("--text");
  context.lineWidth = 2 * ratio;
  rows.forEach(({ text, left, line }, index) => {
    const y = chart.height + (MARGIN_PX + (index + 0.5) * ROW_PX) * ratio;
    context.fillText(text, left, y);
    if (!line) return;
    context.strokeStyle = cssColour(line.colour, line.ghost ? 0.5 : 1);
    context.setLineDash(line.ghost ? [6 * ratio, 4 * ratio] : []);
    context.beginPath();
    context.moveTo(MARGIN_PX * ratio, y);
    context.lineTo((MARGIN_PX + SAMPLE_PX) * ratio, y);
    context.stroke();
  });
  return canvas;
}
