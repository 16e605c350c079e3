/** Hands events to the pages in batches, one a frame, whatever comes in between. */

const MOST_WAITING = 5000;

/** `on(listener)` gets arrays of events, oldest first; over 5,000 in one frame the oldest are let go and counted. */
export function openFeed(frames) {
  const listeners = new Set();
  let waiting = [];
  let dropped = 0;

  function flush() {
    const batch = waiting;
    waiting = [];
    for (const listener of listeners) listener(batch, dropped);
    dropped = 0;
  }

  return {
    push(event) {
      waiting.push(event);
      if (waiting.length > 2 * MOST_WAITING) {
        dropped += waiting.length - MOST_WAITING;
        waiting = waiting.slice(-MOST_WAITING);
      }
      frames.schedule(flush);
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
