/** A list of many rows of one height, of which only those in sight are drawn. */

import { html, useEffect, useRef, useState } from "./html.js";

const AROUND = 8;

/** `rowRem`: the height of a row in rem; `draw(item)` gives its <li>, with a key. */
export function LongList({ label, items, rowRem, draw }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 0 });

  useEffect(() => {
    const element = box.current;
    const look = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const resized = new ResizeObserver(look);
    element.addEventListener("scroll", look, { passive: true });
    resized.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      resized.disconnect();
    };
  }, []);

  const rowPx = rowRem * parseFloat(getComputedStyle(document.documentElement).fontSize);
  const { first, end } = inSight(items.length, view, rowPx);
  const padding = { paddingTop: `${first * rowPx}px`, paddingBottom: `${(items.length - end) * rowPx}px` };
  return html`
    <div class="long-list" ref=${box}>
      <ol aria-label=${label} style=${padding}>${items.slice(first, end).map(draw)}</ol>
    </div>`;
}

/** Which rows are to be drawn: those in sight and a few around them. */
function inSight(count, { top, height }, rowPx) {
  const first = Math.max(0, Math.min(count, Math.floor(top / rowPx)) - AROUND);
  return { first, end: Math.min(count, first + Math.ceil(height / rowPx) + 2 * AROUND) };
}
