/** Buttons that ask the server: while one is busy it does nothing, and keeps the focus, which a disabled button loses. */

import { html } from "./html.js";

/** `isBusy`: what was pressed is under way. `disabled`: it cannot be pressed now. Other properties are those of a <button>. */
export const Button = ({ isBusy = false, onClick, children, ...button }) => html`
  <button type="button" ...${button} aria-disabled=${isBusy ? "true" : undefined}
    onClick=${(event) => isBusy || onClick(event)}>${children}</button>`;
