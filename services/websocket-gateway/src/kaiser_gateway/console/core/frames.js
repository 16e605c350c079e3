/** Draws at most once a frame, and leaves the page three quarters of the time for the user. */

const SHARE = 3;
const HIDDEN_MS = 500;
const LONGEST_REST_MS = 1000;

/** `schedule(task)`: the task runs before the next drawing that is due; asked for twice, it runs once. */
export function openFrames() {
  const due = new Set();
  let isBusy = false;
  let restUntil = 0;

  function schedule(task) {
    due.add(task);
    if (!isBusy) wait();
  }

  function wait() {
    isBusy = true;
    const restMs = restUntil - performance.now();
    if (document.hidden) setTimeout(run, HIDDEN_MS);
    else if (restMs > 0) setTimeout(() => requestAnimationFrame(run), restMs);
    else requestAnimationFrame(run);
  }

  function run() {
    const startedMs = performance.now();
    const tasks = [...due];
    due.clear();
    for (const task of tasks) task();
    afterDrawing(() => {
      const now = performance.now();
      restUntil = now + Math.min(LONGEST_REST_MS, SHARE * (now - startedMs));
      isBusy = false;
      if (due.size) wait();
    });
  }

  return { schedule };
}

/** A message to oneself comes after the layout and painting that the tasks caused. */
function afterDrawing(callback) {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    callback();
  };
  port2.postMessage(null);
}
