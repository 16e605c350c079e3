/** Rows under headings; pure. */

/**
 * [{name, rows}], the rows of each in the order given; those without a name ("", null) come last. `order` of the groups:
 * "name", or "rows": as the first row of each stands.
 */
export function inGroups(rows, nameOf, order = "name") {
  const groups = new Map();
  for (const row of rows) {
    const name = nameOf(row) ?? "";
    if (!groups.has(name)) groups.set(name, { name, rows: [] });
    groups.get(name).rows.push(row);
  }
  const between = (one, other) => (order === "name" ? one.name.localeCompare(other.name) : 0);
  return [...groups.values()].sort((one, other) => Number(one.name === "") - Number(other.name === "") || between(one, other));
}
