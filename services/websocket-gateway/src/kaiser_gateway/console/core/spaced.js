/** Limits how often events set off a task. */

/**
 * A function that runs `task` immediately and again after `ms`, because an event may come just before what it reports is
 * committed. While it is called: every `ms`, and once after the last call.
 */
export function spaced(task, ms) {
  let isWaiting = false;
  let isDue = false;

  function run() {
    isWaiting = true;
    task();
    setTimeout(after, ms);
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
