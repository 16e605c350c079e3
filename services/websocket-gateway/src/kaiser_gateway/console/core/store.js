/** A value that notifies its listeners when it changes. */

/** @returns {{get: function(): *, set: function(*): void, subscribe: function(function): function}} */
export function store(initial) {
  let value = initial;
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const listener of listeners) listener(next);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
