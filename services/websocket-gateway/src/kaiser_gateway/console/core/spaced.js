/** Keeps what events set off from being done more often than it is worth. */

/** A function that runs `task` at once, then at most every `ms`; a call in between is made up for at the end of it. */
export function spaced(task, ms) {
  let isWaiting = false;
  let isDue = false;

  function run() {
    isWaiting = true;
    isDue = false;
    setTimeout(() => {
      isWaiting = false;
      if (isDue) run();
    }, ms);
    task();
  }

  return () => {
    if (isWaiting) isDue = true;
    else run();
  };
}
