/** Limits how often events set off a task. */

/** How long to wait before the next try after so many failures in a row: doubled from 2 s to a minute, and spread, so
 * that clients do not ask together. `draw`: a number from 0 to 1. */
export const againAfterMs = (failures, draw) => Math.min(2000 * 2 ** (failures - 1), 60_000) * (0.75 + draw / 2);

/**
 * A function that runs `task` immediately and again after `ms`, because an event may come just before what it reports is
 * committed. While it is called: every `ms`, or as soon as the task has ended if it takes longer, and once after the last
 * call.
 */
export function spaced(task, ms) {
  let isWaiting = false;
  let isDue = false;

  async function run() {
    isWaiting = true;
    const pause = new Promise((done) => setTimeout(done, ms));
    try {
      await task();
    } finally {
      await pause;
      after();
    }
  }

  function after() {
    isWaiting = false;
    if (!isDue) return;
    isDue = false;
    run();
  }

  return () => {
    isDue = true;
    if (!isWaiting) run();
  };
}
