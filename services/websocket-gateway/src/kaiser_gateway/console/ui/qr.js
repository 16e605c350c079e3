/** A QR code as a picture, always dark on light: some cameras read no other. */

import { qrMatrix, qrPath } from "../core/qr.js";
import { html, useMemo } from "./html.js";
import { t } from "../core/texts.js";

const QUIET = 4;

export function QrCode({ text, label }) {
  const rows = useMemo(() => qrMatrix(text), [text]);
  if (!rows) return html`<p class="quiet">${t("qr.the_address_is_too_long")}</p>`;
  const size = rows.length + 2 * QUIET;
  return html`
    <svg class="qr-code" role="img" aria-label=${label} viewBox=${`${-QUIET} ${-QUIET} ${size} ${size}`} shape-rendering="crispEdges">
      <rect x=${-QUIET} y=${-QUIET} width=${size} height=${size} fill="#fff" /><path d=${qrPath(rows)} fill="#000" />
    </svg>`;
}
