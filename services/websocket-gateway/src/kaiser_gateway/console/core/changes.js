/** What a form changes; pure. */

/** The settings that differ from what is stored: what was not touched stays as it is at the server too. */
export const changesOf = (stored, settings) =>
  Object.fromEntries(Object.entries(settings).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(stored[name] ?? null)));

/** An id for a name: "Greenhouse, east" → "greenhouse_east". */
export const idOf = (name) =>
  name.normalize("NFKD").replace(/ß/g, "ss").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "").slice(0, 64);
