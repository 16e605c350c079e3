/** Which page is open: the part of the address after #. */

import { useEffect, useState } from "./html.js";

/** #/devices/ESP_1 → ["devices", "ESP_1"]. */
export function partsOf(hash) {
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}

/** The address of a page. */
export const link = (...parts) => `#/${parts.map((part) => encodeURIComponent(part).replaceAll("%3D", "=")).join("/")}`;

export function useRoute() {
  const [parts, setParts] = useState(() => partsOf(location.hash));
  useEffect(() => {
    const changed = () => setParts(partsOf(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parts;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
