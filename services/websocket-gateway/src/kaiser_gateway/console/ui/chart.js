/** A line chart over time with a band from lowest to highest; its axis is the time asked for, whatever came in it. */

import uPlot from "../vendor/uplot-1.6.32/uPlot.esm.js";
import { number } from "../core/format.js";
import { axisTime, dateTime, zoneName } from "../core/times.js";
import { alone } from "../core/series.js";
import { followFingers } from "./fingers.js";
import { html, useEffect, useRef } from "./html.js";
import { t } from "../core/texts.js";

const HEIGHT_PX = 280;
const NO_MARKS = [];
const MARK_COLOURS = { alarm: "--warn", stop: "--bad", command: "--accent", deployment: "--quiet" };
const BETWEEN_NUMBERS_PX = 18;
const BAND_ALPHA = 0.1;
const PER_LINE = 3; // columns: mean, lowest, highest

/**
 * `lines`: [{name, unit, colour?, ghost?, columns: [times in s, means, lowest, highest]}], null where there is a gap.
 * `shown`: [fromMs, toMs]. `marks`: [{ts, kind, until}], each a numbered line from top to bottom, with a band up to
 * `until` if it lasted. `onZoom(fromMs, toMs)` after a drag or a gesture, `onBack()` after a double-click.
 */
export function Chart({ label, lines, shown, words, marks = NO_MARKS, onZoom, onBack }) {
  const holder = useRef(null);
  const plot = useRef(null);
  const current = useRef({});
  current.current = { shown, marks, onZoom, onBack };
  const shape = lines.map(({ name, unit, ghost }) => `${name} ${unit} ${ghost}`).join("\n");

  useEffect(() => {
    const element = holder.current;
    plot.current = new uPlot(optionsOf(lines, element.clientWidth, current), aligned(lines), element);
    const resized = new ResizeObserver(() => plot.current.setSize(sizeOf(element)));
    resized.observe(element);
    const endFingers = followFingers(plot.current, current);
    return () => {
      endFingers();
      resized.disconnect();
      plot.current.destroy();
    };
  }, [shape]);

  useEffect(() => plot.current.setData(aligned(lines)), [lines, marks, shown[0], shown[1]]);

  return html`
    <figure class="chart">
      <div ref=${holder} role="img" aria-label=${label} data-from=${Math.round(shown[0])} data-to=${Math.round(shown[1])}></div>
      <figcaption class="quiet">${words}</figcaption>
    </figure>`;
}

const sizeOf = (element) => ({ width: element.clientWidth, height: HEIGHT_PX });

/** One column of times, then three of figures a line; undefined where another line has a time and this one has none. */
function aligned(lines) {
  if (lines.length === 1) return lines[0].columns;
  const tables = lines.map(({ columns }) => columns);
  return tables.length ? uPlot.join(tables, tables.map((table) => table.map(() => 2))) : [[]];
}

function optionsOf(lines, width, current) {
  const grid = { stroke: () => cssColour("--line"), width: 1 };
  const axis = { stroke: () => cssColour("--quiet"), grid, ticks: { show: false } };
  const units = [...new Set(lines.map(({ unit }) => unit))].slice(0, 2);
  const scaleOf = (unit) => (unit === units[1] ? "y2" : "y");
  return {
    width,
    height: HEIGHT_PX,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zoneName()),
    cursor: {
      drag: { x: true, y: false, setScale: false },
      bind: { dblclick: () => () => current.current.onBack?.() },
    },
    scales: { x: { range: () => current.current.shown.map((ms) => ms / 1000) } },
    series: [
      { label: t("chart.time"), value: (_, seconds) => dateTime(seconds === null ? null : seconds * 1000) },
      ...lines.flatMap((line, index) => seriesOf(line, index, scaleOf(line.unit))),
    ],
    bands: lines.map((line, index) => ({
      series: [PER_LINE * index + 3, PER_LINE * index + 2],
      fill: () => (line.ghost ? "transparent" : cssColour(colourOf(line, index), 0.18)),
    })),
    axes: [
      { ...axis, values: timeLabels, space: 70 },
      ...units.map((unit, index) => ({ ...axis, scale: scaleOf(unit), side: index ? 1 : 3, size: 64, grid: { ...grid, show: index === 0 } })),
    ],
    hooks: {
      draw: [(plot) => drawMarks(plot, current.current.marks)],
      setSelect: [(plot) => selected(plot, current.current.onZoom)],
    },
  };
}

const colourOf = ({ colour }, index) => colour ?? `--line-${(index % 6) + 1}`;

function seriesOf(line, index, scale) {
  const stroke = () => cssColour(colourOf(line, index), line.ghost ? 0.5 : 1);
  const points = { size: 7, fill: stroke, filter: (plot, series, show) => (show ? null : alone(plot.data[series])) };
  const common = { scale, value: (_, value) => number(value), points };
  const named = (what) => [line.name, what].filter(Boolean).join(" ") + (line.unit ? ` (${line.unit})` : "");
  const edge = (what) => ({ ...common, label: named(what), width: 0, stroke, points: { ...points, show: false, size: 5 } });
  return [
    { ...common, label: named(""), stroke, width: 2, dash: line.ghost ? [6, 4] : undefined },
    edge(t("chart.lowest")),
    edge(t("chart.highest")),
  ];
}

/** `step`: seconds between two labels. */
const timeLabels = (plot, times, axis, space, step) => times.map((seconds) => axisTime(seconds, step));

/** A custom property of the theme that is in force now. */
export function cssColour(name, alpha = 1) {
  const probe = document.createElement("span");
  probe.style.color = alpha === 1 ? `var(${name})` : `color-mix(in srgb, var(${name}) ${alpha * 100}%, transparent)`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** A dashed line at each mark, with its number where there is room: numbers begin with 1, as the list of marks does. What
 * lasted is a band, too. */
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  let free = -Infinity;
  ctx.save();
  ctx.lineWidth = ratio;
  ctx.font = `${11 * ratio}px sans-serif`;
  ctx.textAlign = "center";
  marks.forEach(({ ts, kind, until = null }, index) => {
    const x = Math.round(plot.valToPos(ts / 1000, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) return;
    if (until !== null) {
      const end = Math.min(plot.valToPos(until / 1000, "x", true), bbox.left + bbox.width);
      ctx.fillStyle = cssColour(MARK_COLOURS[kind], BAND_ALPHA);
      ctx.fillRect(x, bbox.top + 14 * ratio, Math.max(end - x, ratio), bbox.height - 14 * ratio);
    }
    ctx.strokeStyle = ctx.fillStyle = cssColour(MARK_COLOURS[kind]);
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + 14 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    if (x < free) return;
    ctx.fillText(String(index + 1), x, bbox.top + 10 * ratio);
    free = x + BETWEEN_NUMBERS_PX * ratio;
  });
  ctx.restore();
}

function selected(plot, onZoom) {
  const { left, width } = plot.select;
  if (width === 0) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  const at = (pixels) => plot.posToVal(pixels, "x") * 1000;
  onZoom?.(Math.round(at(left)), Math.round(at(left + width)));
}
