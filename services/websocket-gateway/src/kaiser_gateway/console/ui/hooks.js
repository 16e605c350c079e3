/** Hooks of the pages: stores, events, loading, doing. */

import { Problem } from "../core/api.js";
import { pagesOf } from "../core/list_filters.js";
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
const STORED_WITHIN_MS = 5000; // after its event a change may take so long until answers have it

/**
 * What `load` gives: {data, problem, isLoading, reload, reloadSoon, setData}; loaded again when `inputs` change.
 * `reloadSoon` is for events, of which many may come: it asks at most once a second. Answers are taken in the order in
 * which they were asked for; one that comes after a newer one is dropped. What `setData` changes is changed in the answers
 * under way too, and in those asked for in the next 5 s, which may be older: changes must be such as can be made twice.
 * Asks again at growing intervals while the server answers that it is busy or that something is not ready.
 */
export function useLoaded(load, inputs) {
  const [state, setState] = useState({ data: null, problem: null, isLoading: true });
  const latest = useRef(load);
  latest.current = load;
  const turn = useRef(null); // what was asked for these inputs
  const refusals = useRef(0);

  async function reload() {
    const of = turn.current;
    if (!of) return; // no longer shown
    const mine = { number: ++of.asked, changes: of.recent.filter(({ at }) => Date.now() - at < STORED_WITHIN_MS) };
    of.underWay.add(mine);
    setState((old) => ({ ...old, isLoading: true }));
    let next = { problem: null };
    try {
      next = await outcome(() => latest.current());
    } finally {
      of.underWay.delete(mine);
      if (turn.current === of && mine.number > of.taken) take(of, mine, next);
    }
  }

  function take(of, mine, next) {
    const isLoading = [...of.underWay].some(({ number }) => number > mine.number);
    if (isLoading && next.problem) return; // what was asked for later may go well
    of.taken = mine.number;
    const data = next.data && mine.changes.reduce((before, { change }) => change(before), next.data);
    setState((old) => ({ data: "data" in next ? data : old.data, problem: next.problem, isLoading }));
    refusals.current = next.problem?.status === NOT_READY ? refusals.current + 1 : 0;
    if (!refusals.current) return;
    setTimeout(() => turn.current === of && mine.number === of.asked && reload(), againAfterMs(refusals.current, Math.random()));
  }

  useEffect(() => {
    turn.current = { asked: 0, taken: 0, underWay: new Set(), recent: [] };
    reload();
    return () => { turn.current = null; };
  }, inputs);

  function setData(change) {
    const at = Date.now();
    const of = turn.current;
    if (of) of.recent = [...of.recent.filter((one) => at - one.at < STORED_WITHIN_MS), { at, change }];
    for (const ask of of?.underWay ?? []) ask.changes.push({ at, change }); // for 30 s at most, and once a frame
    setState((old) => (old.data === null ? old : { ...old, data: change(old.data) }));
  }

  const reloadSoon = useMemo(() => spaced(reload, AT_MOST_EVERY_MS), []);
  return { ...state, reload, reloadSoon, setData };
}

/**
 * A list in pages: what `useLoaded` gives, with `more`, which loads the next page, and `isMore` while that is under way.
 * `ask(cursor)` gives a page, {items, next_cursor}. Loaded again, the list has as many pages as before.
 */
export function usePages(ask, inputs) {
  const count = useRef(1);
  useEffect(() => { count.current = 1; }, inputs);
  const loaded = useLoaded(() => pagesOf(ask, count.current), inputs);
  const [more, { isBusy: isMore }] = useAction(() => {
    count.current += 1;
    return loaded.reload();
  });
  return { ...loaded, more, isMore };
}

/** `[run, {problem, isBusy}]`: runs something that asks the server; true once it went well. */
export function useAction(action) {
  const [state, setState] = useState({ problem: null, isBusy: false });

  async function run(...inputs) {
    setState({ problem: null, isBusy: true });
    let problem = null;
    try {
      ({ problem } = await outcome(() => action(...inputs)));
    } finally {
      setState({ problem, isBusy: false });
    }
    return problem === null;
  }

  return [run, state];
}

/**
 * `[about, open, close]` of a dialog: what it is about, null while it is not open. `close` closes the one that was open
 * when it was drawn: an answer that comes late leaves a dialog alone that was opened meanwhile.
 */
export function useDialog() {
  const [opened, setOpened] = useState(null);
  const open = (about = true) => setOpened({ about });
  const close = () => setOpened((now) => (now === opened ? null : now));
  return [opened?.about ?? null, open, close];
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

/** Runs `task` every few seconds while the component is shown; not while its promise of the time before is open. */
export function useEvery(everyMs, task) {
  const latest = useRef(task);
  latest.current = task;
  useEffect(() => {
    let isUnderWay = false;
    async function run() {
      if (isUnderWay) return;
      isUnderWay = true;
      try {
        await latest.current();
      } finally {
        isUnderWay = false;
      }
    }
    const timer = setInterval(run, everyMs);
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
