/** Durations as people write them: a number with a unit; pure. */

import { word } from "./texts.js";

export const UNITS = [["s", 1], ["min", 60], ["h", 3600], ["d", 86_400]];

/** The largest unit in which a duration is a whole number: 90 → ["s", 1], 120 → ["min", 60]. */
export function unitOf(seconds) {
  const fits = UNITS.filter(([, size]) => seconds > 0 && Number.isInteger(seconds / size));
  return fits.at(-1) ?? UNITS[0];
}

/** 120 → "2 min"; anything but whole minutes stays in seconds. */
export function durationText(seconds) {
  const [unit, size] = unitOf(seconds);
  return `${seconds / size} ${word(unit, "unit")}`;
}
