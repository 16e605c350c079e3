/** The filters of a list in its address: #/sensors/state=silent/zone_id=north; pure. */

const MOST_PAGES = 10;

/** Whether the parts of an address are those of a list and not of one thing. */
export const isList = (parts) => parts.every((part) => part.includes("="));

/** {name: value} of the names that a list knows, "" for those that are not in its address. */
export function filtersOf(parts, names) {
  const given = new Map(parts.map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]));
  return Object.fromEntries(names.map((name) => [name, given.get(name) ?? ""]));
}

/** The parts of the address of a list that shows this. */
export const filterParts = (filters) =>
  Object.entries(filters).filter(([, value]) => value).map(([name, value]) => `${name}=${value}`);

/** The same for a request; what is not given is left out. */
export const asQuery = (filters) =>
  Object.fromEntries(Object.entries(filters).map(([name, value]) => [name, value || null]));

/** Every item of a list whose pages `ask(cursor)` gives, at most MOST_PAGES of them; a page may be empty. */
export const allOf = (ask) => pagesOf(ask, MOST_PAGES);

/** The first pages of a list as one: the last of them with the items of all. */
export async function pagesOf(ask, count) {
  let last = await ask(null);
  const items = [...last.items];
  for (let page = 1; page < count && last.next_cursor; page += 1) {
    last = await ask(last.next_cursor);
    items.push(...last.items);
  }
  return { ...last, items };
}
