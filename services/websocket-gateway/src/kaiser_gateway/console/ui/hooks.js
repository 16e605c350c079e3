/** Hooks of the pages: stores, events, loading, doing. */

import { Problem } from "../core/api.js";
import { againAfterMs, spaced } from "../core/spaced.js";
import { useApp, useEffect, useMemo, useRef, useState } from "./html.js";

/** The value of a store, drawn anew when it changes. */
export function useStore(store) {
  const [value, setValue] = useState(() => store.get());
  useEffect(() => {
    setValue(() => store.get());
    return store.subscribe((next) => setValue(() => next));
  }, [store]);
  return value;
}

/** Calls `listener` with each batch of events while the component is shown. */
export function useEvents(listener) {
  const { feed } = useApp();
  const latest = useRef(listener);
  latest.current = listener;
  useEffect(() => feed.on((batch) => latest.current(batch)), [feed]);
}

const AT_MOST_EVERY_MS = 1000;
const NOT_READY = 503;

/**
 * What `load` gives: {data, problem, isLoading, reload, reloadSoon, setData}; loaded again when `inputs` change.
 * `reloadSoon` is for events, of which many may come: it asks at most once a second. What `setData` changes while an
 * answer is under way is changed in that answer too, which may be older: changes must be such as can be made twice.
 * Asks again at growing intervals while the server answers that it is busy or that something is not ready.
 */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const generation = useRef(0);
  const latest = useRef(load);
  latest.current = load;
  const changes = useRef([]);
  const refusals = useRef(0);

  async function reload() {
    const mine = ++generation.current;
    changes.current = [];
    setState((old) => ({ ...old, isLoading: true }));
    const next = await outcome(() => latest.current());
    if (mine !== generation.current) return;
    if (next.data) next.data = changes.current.reduce((data, change) => change(data), next.data);
    changes.current = null;
    setState((old) => ({ data: old.data, ...next, isLoading: false }));
    refusals.current = next.problem?.status === NOT_READY ? refusals.current + 1 : 0;
    if (!refusals.current) return;
    setTimeout(() => mine === generation.current && reload(), againAfterMs(refusals.current, Math.random()));
  }

  useEffect(() => {
    reload();
    return () => { generation.current += 1; };
  }, inputs);

  function setData(change) {
    changes.current?.push(change); // an answer takes 15 s at most, and changes come once a frame
    setState((old) => (old.data === null ? old : { ...old, data: change(old.data) }));
  }

  const reloadSoon = useMemo(() => spaced(reload, AT_MOST_EVERY_MS), []);
  return { ...state, reload, reloadSoon, setData };
}

/** `[run, {problem, isBusy}]`: runs something that asks the server; true once it went well. */
export function useAction(action) {
  const [state, setState] = useState({ problem: null, isBusy: false });

  async function run(...inputs) {
    setState({ problem: null, isBusy: true });
    const { problem } = await outcome(() => action(...inputs));
    setState({ problem, isBusy: false });
    return problem === null;
  }

  return [run, state];
}

/** Whether the screen is so narrow that things stand below each other; the style sheets have the same limit. */
export function useNarrow() {
  const [query] = useState(() => matchMedia("(max-width: 52rem)"));
  const [isNarrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const changed = () => setNarrow(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return isNarrow;
}

/** The present, in ms, drawn anew every few seconds. */
export function useNow(everyMs = 5000) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** For a <details> that is a menu: closed by Escape, by a press or the focus elsewhere, and when another page is opened. */
export function useMenu() {
  const menu = useRef(null);
  useEffect(() => {
    const close = () => { if (menu.current) menu.current.open = false; };
    const elsewhere = ({ target }) => menu.current?.contains(target) || close();
    function escaped(event) {
      if (event.key !== "Escape" || !menu.current?.open) return;
      close();
      menu.current.querySelector("summary").focus();
    }
    const listeners = { pointerdown: elsewhere, focusin: elsewhere, keydown: escaped, hashchange: close };
    for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
    };
  }, []);
  return menu;
}

/** Runs `task` every few seconds while the component is shown. */
export function useEvery(everyMs, task) {
  const latest = useRef(task);
  latest.current = task;
  useEffect(() => {
    const timer = setInterval(() => latest.current(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}

async function outcome(ask) {
  try {
    return { data: await ask(), problem: null };
  } catch (error) {
    if (error instanceof Problem) return { problem: error };
    throw error;
  }
}
