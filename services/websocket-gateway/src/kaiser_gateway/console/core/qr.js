/** QR codes (ISO/IEC 18004): bytes at level M, versions 1 to 10, which is up to 213 bytes; pure. */

const CODEWORDS = [26, 44, 70, 100, 134, 172, 196, 242, 292, 346];
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26]; // codewords of each block
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5];
const ALIGNED = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];
const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** Rows of booleans, true for dark, without a quiet zone; null for a text that is too long. `mask`: null chooses one. */
export function qrMatrix(text, mask = null) {
  const bytes = [...new TextEncoder().encode(text)];
  const version = CODEWORDS.findIndex((_, index) => bytes.length + 2 + (index > 8 ? 1 : 0) <= dataLength(index)) + 1;
  if (!version) return null;
  const codewords = interleaved(dataOf(bytes, version), version);
  const drawn = (mask === null ? [...MASKS.keys()] : [mask]).map((each) => draw(codewords, version, each));
  return drawn.map((rows) => [penalty(rows), rows]).sort(([one], [other]) => one - other)[0][1];
}

const dataLength = (index) => CODEWORDS[index] - CORRECTION[index] * BLOCKS[index];

/** Mode, length, bytes, end and padding as codewords. */
function dataOf(bytes, version) {
  const length = dataLength(version - 1);
  const bits = [...bitsOf(0b0100, 4), ...bitsOf(bytes.length, version > 9 ? 16 : 8), ...bytes.flatMap((byte) => bitsOf(byte, 8))];
  bits.push(...Array(Math.min(4, length * 8 - bits.length)).fill(0));
  while (bits.length % 8) bits.push(0);
  const words = [];
  for (let at = 0; at < bits.length; at += 8) words.push(bits.slice(at, at + 8).reduce((word, bit) => word * 2 + bit, 0));
  for (let pad = 0; words.length < length; pad++) words.push(pad % 2 ? 0x11 : 0xec);
  return words;
}

const bitsOf = (value, length) => Array.from({ length }, (_, index) => (value >> (length - 1 - index)) & 1);

/** Blocks with their correction, a codeword of each in turn. */
function interleaved(data, version) {
  const blocks = BLOCKS[version - 1];
  const correction = CORRECTION[version - 1];
  const short = Math.floor(data.length / blocks);
  const longer = data.length % blocks;
  const divisor = generator(correction);
  const parts = [];
  for (let index = 0, at = 0; index < blocks; index++) {
    const length = short + (index >= blocks - longer ? 1 : 0);
    parts.push(data.slice(at, at + length));
    at += length;
  }
  const corrections = parts.map((part) => remainder(part, divisor));
  const inTurn = (lists) => Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, index) =>
    lists.filter((list) => index < list.length).map((list) => list[index])).flat();
  return [...inTurn(parts), ...inTurn(corrections)];
}

/** A product in GF(256) with the polynomial 0x11d. */
function times(one, other) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) product = ((product << 1) ^ ((product >> 7) * 0x11d)) ^ (((other >> bit) & 1) * one);
  return product;
}

function generator(degree) {
  let found = [...Array(degree - 1).fill(0), 1];
  for (let index = 0, root = 1; index < degree; index++, root = times(root, 2)) {
    found = found.map((factor, place) => times(factor, root) ^ (found[place + 1] ?? 0));
  }
  return found;
}

function remainder(data, divisor) {
  let rest = Array(divisor.length).fill(0);
  for (const word of data) {
    const factor = word ^ rest[0];
    rest = [...rest.slice(1), 0].map((each, place) => each ^ times(divisor[place], factor));
  }
  return rest;
}

function draw(codewords, version, mask) {
  const size = 17 + 4 * version;
  const rows = Array.from({ length: size }, () => Array(size).fill(null));
  const set = (x, y, dark) => { if (x >= 0 && y >= 0 && x < size && y < size) rows[y][x] = Boolean(dark); };
  drawPatterns(set, rows, size, version);
  drawFormat(set, size, mask);
  const bits = codewords.flatMap((word) => bitsOf(word, 8));
  let at = 0;
  let isUp = true;
  for (let right = size - 1; right > 0; right -= right === 8 ? 3 : 2) { // column 6 is the timing pattern
    for (let step = 0; step < size; step++) {
      const y = isUp ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (rows[y][x] === null) rows[y][x] = Boolean(bits[at++] ?? 0) !== MASKS[mask](x, y);
      }
    }
    isUp = !isUp;
  }
  return rows;
}

function drawPatterns(set, rows, size, version) {
  for (const [left, top] of [[0, 0], [size - 7, 0], [0, size - 7]]) {
    for (let y = -1; y < 8; y++) {
      for (let x = -1; x < 8; x++) {
        const ring = Math.max(Math.abs(x - 3), Math.abs(y - 3));
        set(left + x, top + y, ring !== 2 && ring !== 4);
      }
    }
  }
  const places = ALIGNED[version - 1];
  for (const y of places) {
    for (const x of places) {
      if (rows[y][x] !== null) continue; // in a finder
      for (let down = -2; down <= 2; down++) {
        for (let across = -2; across <= 2; across++) set(x + across, y + down, Math.max(Math.abs(across), Math.abs(down)) !== 1);
      }
    }
  }
  for (let index = 8; index < size - 8; index++) {
    set(index, 6, index % 2 === 0);
    set(6, index, index % 2 === 0);
  }
  if (version < 7) return;
  const bits = (version << 12) | checked(version, 12, 0x1f25);
  for (let index = 0; index < 18; index++) {
    const [across, down] = [Math.floor(index / 3), size - 11 + (index % 3)];
    set(across, down, (bits >> index) & 1);
    set(down, across, (bits >> index) & 1);
  }
}

/** The remainder of a BCH code. */
function checked(value, degree, divisor) {
  let rest = value;
  for (let index = 0; index < degree; index++) rest = (rest << 1) ^ ((rest >> (degree - 1)) * divisor);
  return rest;
}

/** Level M (00) and the mask, twice, and the module that is always dark. */
function drawFormat(set, size, mask) {
  const bits = ((mask << 10) | checked(mask, 10, 0x537)) ^ 0x5412;
  for (let index = 0; index < 15; index++) {
    const dark = (bits >> index) & 1;
    set(8, index < 6 ? index : index < 8 ? index + 1 : size - 15 + index, dark);
    set(index < 8 ? size - 1 - index : index < 9 ? 7 : 14 - index, 8, dark);
  }
  set(8, size - 8, true);
}

/** How badly a code can be read: long runs, blocks of one colour, more of one colour than of the other. */
function penalty(rows) {
  const size = rows.length;
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  const runs = [...rows, ...columns].map(runPenalty).reduce((sum, each) => sum + each, 0);
  let blocks = 0;
  for (let y = 1; y < size; y++) {
    for (let x = 1; x < size; x++) {
      if (rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) blocks += 3;
    }
  }
  const dark = rows.flat().filter(Boolean).length / size ** 2;
  return runs + blocks + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}

function runPenalty(line) {
  let sum = 0;
  for (let at = 0, length; at < line.length; at += length) {
    length = 1;
    while (line[at + length] === line[at]) length++;
    if (length >= 5) sum += length - 2;
  }
  return sum;
}

/** A path of SVG with a square for each dark module. */
export const qrPath = (rows) =>
  rows.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
