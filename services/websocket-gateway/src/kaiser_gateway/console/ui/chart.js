/** A line chart over time: drag to zoom, double-click to go back. Figures are also told in words. */

import uPlot from "../vendor/uplot-1.6.32/uPlot.esm.js";
import { axisTime, dateTime, number } from "../core/format.js";
import { html, useEffect, useRef } from "./html.js";

const HEIGHT_PX = 280;
const LINES = ["--line-1", "--line-2", "--line-3"];

/** `columns`: times in s, then one array of figures (null: a gap) a name. `onZoom(fromMs, toMs)` after a drag. */
export function Chart({ label, unit, columns, names, onZoom }) {
  const holder = useRef(null);
  const plot = useRef(null);
  const zoomed = useRef(onZoom);
  zoomed.current = onZoom;

  useEffect(() => {
    const element = holder.current;
    plot.current = new uPlot(optionsOf({ names, unit, width: element.clientWidth, zoomed }), columns, element);
    const resized = new ResizeObserver(() => plot.current.setSize(sizeOf(element)));
    resized.observe(element);
    return () => {
      resized.disconnect();
      plot.current.destroy();
    };
  }, [names.join(), unit]);

  useEffect(() => plot.current.setData(columns), [columns]);

  return html`
    <figure class="chart">
      <div ref=${holder} role="img" aria-label=${label}></div>
      <figcaption class="quiet">${inWords(columns, unit)}</figcaption>
    </figure>`;
}

const sizeOf = (element) => ({ width: element.clientWidth, height: HEIGHT_PX });

function optionsOf({ names, unit, width, zoomed }) {
  const grid = { stroke: () => cssColour("--line"), width: 1 };
  const axis = { stroke: () => cssColour("--quiet"), grid, ticks: { show: false } };
  const lines = names.map((name, index) => ({
    label: unit ? `${name} (${unit})` : name,
    stroke: () => cssColour(LINES[index]),
    width: index === 0 ? 2 : 1,
    value: (_, value) => number(value),
  }));
  return {
    width,
    height: HEIGHT_PX,
    cursor: { drag: { x: true, y: false } },
    scales: { x: { range: timeRange } },
    series: [{ label: "time", value: (_, seconds) => dateTime(seconds === null ? null : seconds * 1000) }, ...lines],
    axes: [{ ...axis, values: timeLabels, space: 70 }, { ...axis, size: 64 }],
    hooks: { setSelect: [(plot) => selected(plot, zoomed.current)] },
  };
}

/** A minute around it where there is one point only. */
const timeRange = (plot, from, to) => (from === to ? [from - 60, to + 60] : [from, to]);

/** `step`: seconds between two labels. */
const timeLabels = (plot, times, axis, space, step) => times.map((seconds) => axisTime(seconds, step));

/** A custom property of the theme that is in force now. */
function cssColour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function selected(plot, onZoom) {
  if (!onZoom || plot.select.width === 0) return;
  const at = (pixels) => plot.posToVal(pixels, "x") * 1000;
  onZoom(Math.round(at(plot.select.left)), Math.round(at(plot.select.left + plot.select.width)));
}

function inWords([times, figures], unit = "") {
  const known = figures.filter((value) => typeof value === "number");
  if (known.length === 0) return "No figures in this time.";
  const lowest = known.reduce((least, value) => Math.min(least, value));
  const highest = known.reduce((most, value) => Math.max(most, value));
  const text = (value) => `${number(value)} ${unit}`.trim();
  return `${times.length === 1 ? "1 point" : `${times.length} points`}; lowest ${text(lowest)}, highest ${text(highest)}, last ${text(known.at(-1))}.`;
}
