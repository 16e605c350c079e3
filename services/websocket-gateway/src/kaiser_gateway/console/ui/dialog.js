/** Dialogs: the browser's own, which hold the focus and close by Escape. */

import { html, useEffect, useRef } from "./html.js";
import { t } from "../core/texts.js";

/** What has the focus at first: not the button that closes. */
const FIRST = "input, select, textarea, [type=submit]";

/** Shown as long as it is drawn; `onClose` takes it away. */
export function Dialog({ title, onClose, children, wide = false }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    dialog.current.querySelector(FIRST)?.focus();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose}>
      <div class="dialog-head">
        <h2>${title}</h2>
        <button type="button" class="plain" aria-label=${t("common.close")} onClick=${() => dialog.current.close()}>✕</button>
      </div>
      ${children}
    </dialog>`;
}
