/** Copies a text; where a browser has no clipboard (plain HTTP) or refuses it, it selects the text to be copied by hand. */

import { html, useApp } from "./html.js";
import { t } from "../core/texts.js";

export function CopyButton({ text }) {
  const { toasts } = useApp();
  async function copy({ currentTarget }) {
    const source = currentTarget.closest("section").querySelector("pre");
    if (await navigator.clipboard?.writeText(text).then(() => true, () => false)) {
      toasts.say(t("copy.copied"));
      return;
    }
    getSelection().selectAllChildren(source);
    toasts.say(t("copy.it_is_selected_copy_it"), "info");
  }
  return html`<button type="button" onClick=${copy}>${t("copy.copy")}</button>`;
}
