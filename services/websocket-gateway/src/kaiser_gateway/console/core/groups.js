/** Rows under headings; pure. */

/** [{name, rows}] by name, the rows of each in the order given; those without a name ("", null) come last. */
export function inGroups(rows, nameOf) {
  const groups = new Map();
  for (const row of rows) {
    const name = nameOf(row) ?? "";
    if (!groups.has(name)) groups.set(name, { name, rows: [] });
    groups.get(name).rows.push(row);
  }
  return [...groups.values()].sort((one, other) =>
    Number(one.name === "") - Number(other.name === "") || one.name.localeCompare(other.name));
}
