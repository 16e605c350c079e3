/** The map of the factory: modules, roads, and the AGVs, which move. */

import { agvsOn, placesOf, withNodesOf } from "../core/factory.js";
import { html, useMemo } from "../ui/html.js";
import { t, word } from "../core/texts.js";

const MODULE = { width: 160, height: 92 };
const ENDED = new Set(["FINISHED", "FAILED"]);
const LONGEST_NAME = 10;

/** The same stands in the table in words, so a screen reader gets a summary. */
export function FactoryMap({ layout, rows }) {
  const whole = withNodesOf(layout, rows);
  const places = useMemo(() => placesOf(whole), [layout, whole.intersections.join("\n")]);
  const known = new Map(rows.map((row) => [row.serial, row]));
  const agvs = agvsOn(places, rows);
  const said = agvs.map(({ row }) => `${row.serial} ${placeText(row.driving, nameOf(places, row.node))}`);
  return html`
    <svg class="factory-map" viewBox=${places.box.join(" ")} role="img"
      aria-label=${t("factory_map.map_of_the_factory", { it: said.join("; ") || t("factory_map.no_agv_is_on_it") })}>
      ${places.roads.map(({ start, end }) => {
        const [one, other] = [places.nodes.get(start), places.nodes.get(end)];
        return html`<line key=${`${start} ${end}`} class="road" x1=${one.x} y1=${one.y} x2=${other.x} y2=${other.y} />`;
      })}
      ${[...places.nodes].map(([name, place]) => (place.isModule
        ? html`<${ModuleBox} key=${name} serial=${name} place=${place} row=${known.get(name)} />`
        : html`<g key=${name} class="crossing"><circle cx=${place.x} cy=${place.y} r="30" />
            <text x=${place.x} y=${place.y + 10}>${shortened(name)}</text></g>`))}
      ${agvs.map(({ row, x, y }) => html`<${AgvDot} key=${row.serial} row=${row} x=${x} y=${y} />`)}
    </svg>`;
}

const placeText = (driving, place) => (driving ? t("factory.driving_from_place", { place }) : t("factory.at_place", { place }));

const shortened = (name) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name);

const nameOf = ({ nodes }, node) => nodes.get(node)?.type ?? node;

function ModuleBox({ serial, place, row }) {
  const state = row?.availability ?? "UNKNOWN";
  const isAtWork = row?.action && !ENDED.has(row.action.state);
  const { width, height } = MODULE;
  return html`
    <g class=${`module module-${state.toLowerCase()}`} data-serial=${serial}>
      <rect x=${place.x - width / 2} y=${place.y - height / 2} width=${width} height=${height} rx="12" />
      <text class="module-type" x=${place.x} y=${place.y - 8}>${place.type ?? serial}</text>
      <text class="module-state" x=${place.x} y=${place.y + 24}>${(isAtWork && row.action.command) || word(state, "availability")}</text>
    </g>`;
}

/** A drive from node to node is drawn as a movement; who does not want movements sees it at its node. */
function AgvDot({ row, x, y }) {
  const [load] = row.loads;
  return html`
    <g class=${`agv ${row.availability === "BLOCKED" ? "agv-blocked" : ""}`} data-serial=${row.serial} data-node=${row.node}
      style=${{ transform: `translate(${x}px, ${y}px)` }}>
      <rect x="-34" y="-24" width="68" height="48" rx="20" />
      <text y="9">${row.serial.slice(-4)}</text>
      ${load && html`<circle class=${`piece piece-${load.type.toLowerCase()}`} cx="30" cy="-24" r="16" />`}
    </g>`;
}
