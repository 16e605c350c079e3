/** Which page is open: the part of the address after #. */

import { useEffect, useLayoutEffect, useRef, useState } from "./html.js";

/** #/devices/ESP_1 → ["devices", "ESP_1"]. */
export function partsOf(hash) {
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}

/** The address of a page. */
export const link = (...parts) => `#/${parts.map((part) => encodeURIComponent(part).replaceAll("%3D", "=")).join("/")}`;

export function useRoute() {
  const [parts, setParts] = useState(() => partsOf(location.hash));
  useLayoutEffect(() => { // at once, so that no change is missed
    const changed = () => setParts(partsOf(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parts;
}

/** A function that opens a page as long as the component is shown: a late answer leads nobody away from where they went. */
export function useGo() {
  const isShown = useRef(true);
  useEffect(() => () => { isShown.current = false; }, []);
  return (...parts) => {
    if (isShown.current) location.hash = link(...parts);
  };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
