/** Fingers on a chart: one drags it along, two stretch it. */

import { gestured } from "../core/series.js";

/** Follows them until the function that is given back is called. `current.current`: {shown, onZoom} of the chart. */
export function followFingers(plot, current) {
  const { over } = plot;
  let began = null;

  const places = (event) => {
    const { left, width } = over.getBoundingClientRect();
    return [...event.touches].slice(0, 2).map(({ clientX }) => (clientX - left) / width);
  };

  function touched(event) {
    began = event.touches.length ? { places: places(event), shown: current.current.shown } : null;
  }

  function moved(event) {
    const now = places(event);
    if (!began || now.length !== began.places.length) return;
    if (event.cancelable) event.preventDefault();
    began.shows = gestured(began.shown, began.places, now);
    current.current.shown = began.shows;
    plot.redraw(false, false);
    plot.setScale("x", { min: began.shows[0] / 1000, max: began.shows[1] / 1000 });
  }

  function left(event) {
    if (began?.shows) current.current.onZoom?.(...began.shows.map(Math.round));
    touched(event);
  }

  const listeners = { touchstart: touched, touchmove: moved, touchend: left, touchcancel: left };
  for (const [name, listener] of Object.entries(listeners)) over.addEventListener(name, listener, { passive: false });
  return () => {
    for (const [name, listener] of Object.entries(listeners)) over.removeEventListener(name, listener);
  };
}
