/** The live log: the last 500 events, and what came while it was paused. */

import { store } from "./store.js";

export const KEPT = 500;

/** `view` holds {events: newest first, paused, meanwhile: how many came since the pause}. */
export function openLog(feed) {
  let kept = [];
  let frozen = null;
  let meanwhile = 0;
  let count = 0;
  const view = store({ events: [], paused: false, meanwhile: 0 });

  function show() {
    view.set({ events: frozen ?? kept, paused: frozen !== null, meanwhile });
  }

  feed.on((batch, dropped) => {
    const fresh = batch.slice(-KEPT).map((event) => ({ ...event, number: ++count }));
    kept = [...fresh.reverse(), ...kept].slice(0, KEPT);
    if (frozen) meanwhile += batch.length + dropped;
    show();
  });

  return {
    view,
    pause() {
      frozen = kept;
      meanwhile = 0;
      show();
    },
    resume() {
      frozen = null;
      meanwhile = 0;
      show();
    },
    clear() {
      kept = [];
      if (frozen) frozen = kept;
      meanwhile = 0;
      show();
    },
  };
}
