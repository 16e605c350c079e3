/** Keeps what events set off from being done more often than it is worth. */

/**
 * A function that runs `task` at once and, as an event may be told just before what it tells is committed, again after
 * `ms`; while it is called, every `ms` and once after the last call.
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
