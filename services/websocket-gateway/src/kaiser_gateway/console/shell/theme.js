/** Light, dark, or as the system has it; remembered by the browser. */

import { store } from "../core/store.js";

const KEY = "kaiser.theme";
export const THEMES = ["system", "light", "dark"];

export function openTheme(storage) {
  const kept = storage.getItem(KEY);
  const current = store(THEMES.includes(kept) ? kept : "system");
  const apply = (theme) => { document.documentElement.dataset.theme = theme; };
  apply(current.get());
  return {
    current,
    choose(theme) {
      storage.setItem(KEY, theme);
      apply(theme);
      current.set(theme);
    },
  };
}
