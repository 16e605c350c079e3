/** Dialogs: the browser's own, which hold the focus and close by Escape. */

import { createPortal, html, useLayoutEffect, useRef } from "./html.js";
import { t } from "../core/texts.js";

/** What has the focus at first: not the button that closes. */
const FIRST = "input, select, textarea, [type=submit]";

/**
 * Shown as long as it is drawn; `onClose` takes it away. It stands beside the page, because a dialog whose place in a
 * document moves, with a row of a table, ends; and has the focus as soon as it is drawn, for who types on.
 */
export function Dialog({ title, onClose, children, wide = false }) {
  const dialog = useRef(null);
  useLayoutEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element.showModal();
    element.querySelector(FIRST)?.focus();
    return () => {
      element.close(); // nothing else can get the focus before
      if (before?.isConnected) before.focus();
    };
  }, []);
  return createPortal(html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose}>
      <div class="dialog-head">
        <h2>${title}</h2>
        <button type="button" class="plain" aria-label=${t("common.close")} onClick=${() => dialog.current.close()}>✕</button>
      </div>
      ${children}
    </dialog>`, document.body);
}
