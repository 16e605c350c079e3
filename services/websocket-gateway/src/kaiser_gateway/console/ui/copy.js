/** Copies a text; over plain HTTP, where a browser has no clipboard, it selects it to be copied by hand. */

import { html, useApp } from "./html.js";

export function CopyButton({ text }) {
  const { toasts } = useApp();
  async function copy({ currentTarget }) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      toasts.say("Copied.");
      return;
    }
    const source = currentTarget.closest("section").querySelector("pre");
    getSelection().selectAllChildren(source);
    toasts.say("It is selected: copy it with Ctrl+C.", "info");
  }
  return html`<button type="button" onClick=${copy}>Copy</button>`;
}
