/** Text in lines that are no wider than their place; pure. */

/**
 * The lines of a text, broken between words, and inside a word that is wider than a line. `widthOf(text)`: how wide a text
 * is, in the unit of `most`. A line has at least one letter.
 */
export function wrapped(text, most, widthOf) {
  const lines = [];
  let line = "";
  for (const word of text.split(" ").filter(Boolean)) {
    const longer = line ? `${line} ${word}` : word;
    if (widthOf(longer) <= most) {
      line = longer;
      continue;
    }
    if (line) lines.push(line);
    const pieces = inPieces(word, most, widthOf);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1);
  }
  return line ? [...lines, line] : lines;
}

function inPieces(word, most, widthOf) {
  const pieces = [];
  for (const letter of word) {
    const longer = (pieces.at(-1) ?? "") + letter;
    if (pieces.length && widthOf(longer) <= most) pieces[pieces.length - 1] = longer;
    else pieces.push(letter);
  }
  return pieces;
}
