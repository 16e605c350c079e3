/** A time in the site's zone; its title shows UTC. */

import { NONE } from "../core/format.js";
import { dateTime, utc } from "../core/times.js";
import { html } from "./html.js";

/** `ms`: since 1970, null for none. */
export const when = (ms) =>
  ms === null || ms === undefined ? NONE : html`<time datetime=${utc(ms)} title=${utc(ms)}>${dateTime(ms)}</time>`;
