/** Rows under headings; pure. */

/**
 * [{name, rows}], the rows of each in the order given. `order` of the groups: "name", where those without a name
 * ("", null) come last, or "rows": as the first row of each stands, with a name or without.
 */
export function inGroups(rows, nameOf, order = "name") {
  const groups = new Map();
  for (const row of rows) {
    const name = nameOf(row) ?? "";
    if (!groups.has(name)) groups.set(name, { name, rows: [] });
    groups.get(name).rows.push(row);
  }
  const found = [...groups.values()];
  if (order === "rows") return found;
  return found.sort((one, other) => Number(one.name === "") - Number(other.name === "") || one.name.localeCompare(other.name));
}
