/** Short messages at the edge of the page, read out by screen readers. */

import { store } from "../core/store.js";
import { html } from "./html.js";
import { useStore } from "./hooks.js";
import { t } from "../core/texts.js";

const SHOWN_MS = 7000;
const MOST = 4;

export function openToasts() {
  const shown = store([]);
  let count = 0;

  const remove = (number) => shown.set(shown.get().filter((toast) => toast.number !== number));

  return {
    shown,
    remove,
    /** kind: good, bad, warn or info. */
    say(text, kind = "good") {
      const number = ++count;
      shown.set([...shown.get().slice(1 - MOST), { number, text, kind }]);
      setTimeout(() => remove(number), SHOWN_MS);
    },
  };
}

export function Toasts({ toasts }) {
  const shown = useStore(toasts.shown);
  return html`
    <div class="toasts" role="status" aria-live="polite">
      ${shown.map(({ number, text, kind }) => html`
        <div class="toast toast-${kind}" key=${number}>
          <span>${text}</span>
          <button type="button" class="plain" aria-label=${t("toasts.dismiss")} onClick=${() => toasts.remove(number)}>✕</button>
        </div>`)}
    </div>`;
}
