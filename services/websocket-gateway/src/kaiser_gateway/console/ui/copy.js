/** Copies a text; over plain HTTP, where a browser has no clipboard, it selects it to be copied by hand. */

import { html, useApp } from "./html.js";
import { t } from "../core/texts.js";

export function CopyButton({ text }) {
  const { toasts } = useApp();
  async function copy({ currentTarget }) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      toasts.say(t("copy.copied"));
      return;
    }
    const source = currentTarget.closest("section").querySelector("pre");
    getSelection().selectAllChildren(source);
    toasts.say(t("copy.it_is_selected_copy_it"), "info");
  }
  return html`<button type="button" onClick=${copy}>${t("copy.copy")}</button>`;
}
