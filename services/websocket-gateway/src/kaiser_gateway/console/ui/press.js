/** Redraws wait while something is pressed: what the pointer went down on is still under it when it comes up. */

const MOST_MS = 500; // what is pressed longer is dragged, or is a list that the browser shows

/** `options`: Preact's. Actions act on what was drawn at the press; two of them may come before the next drawing. */
export function holdWhilePressed(options, page = window) {
  let isPressed = false;
  let waiting = null;
  let timer = 0;

  function release() {
    clearTimeout(timer);
    isPressed = false;
    if (waiting) queueMicrotask(waiting);
    waiting = null;
  }

  function pressed({ target }) {
    clearTimeout(timer);
    isPressed = target.type !== "range"; // a slider says where it is during the press
    if (isPressed) timer = setTimeout(release, MOST_MS);
  }

  page.addEventListener("pointerdown", pressed, true);
  page.addEventListener("click", release); // comes in the same task as its pointerup, if it comes at all
  for (const name of ["pointerup", "pointercancel"]) page.addEventListener(name, () => setTimeout(release), true);
  options.debounceRendering = (draw) => {
    if (isPressed) waiting = draw;
    else queueMicrotask(draw);
  };
}
