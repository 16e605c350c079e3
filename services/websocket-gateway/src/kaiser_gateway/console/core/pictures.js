/** Pictures of machines and messages: one is decoded only if its header states a size that a browser can hold. */

/** A picture of a few kilobytes may state a billion pixels, each of four bytes in memory. */
export const MOST_PIXELS = 16_777_216;

const ASCII = (text) => [...text].map((character) => character.charCodeAt(0));
const PNG = [0x89, ...ASCII("PNG\r\n"), 0x1a, 0x0a];

/** The picture of a Blob to be drawn. Fails with an InvalidStateError if it is not a picture, or too large. */
export async function bitmapOf(blob) {
  if (!isBearable(new Uint8Array(await blob.arrayBuffer()))) {
    throw new DOMException("", "InvalidStateError"); // pages show it in the reader's language
  }
  return createImageBitmap(blob);
}

/** Whether bytes are a PNG, JPEG, GIF or WebP of at most 16 million pixels, by their header. */
export function isBearable(bytes) {
  const size = sizeOf(bytes);
  return size !== null && size[0] * size[1] <= MOST_PIXELS;
}

/** Width and height by the header; null if the bytes are not such a picture. */
export function sizeOf(bytes) {
  if (begins(bytes, 0, PNG)) return begins(bytes, 12, ASCII("IHDR")) ? pair(big(bytes, 16, 4), big(bytes, 20, 4)) : null;
  if (begins(bytes, 0, ASCII("GIF87a")) || begins(bytes, 0, ASCII("GIF89a"))) return ofGif(bytes);
  if (begins(bytes, 0, [0xff, 0xd8])) return ofJpeg(bytes);
  if (begins(bytes, 0, ASCII("RIFF")) && begins(bytes, 8, ASCII("WEBP"))) return ofWebp(bytes);
  return null;
}

/** A browser draws the whole first frame, even if it is larger than the screen size in the header. */
function ofGif(bytes) {
  const colours = (flags) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let at = 13 + colours(bytes[10]);
  while (bytes[at] === 0x21) {
    for (at += 2; bytes[at] > 0; at += bytes[at] + 1);
    at += 1;
  }
  if (bytes[at] !== 0x2c) return null;
  const right = little(bytes, at + 1, 2) + little(bytes, at + 5, 2);
  const bottom = little(bytes, at + 3, 2) + little(bytes, at + 7, 2);
  return pair(Math.max(little(bytes, 6, 2), right), Math.max(little(bytes, 8, 2), bottom));
}

/** The segment that begins the frame has the size. Bytes between segments are skipped, as browsers do. */
function ofJpeg(bytes) {
  let at = 2;
  while (at < bytes.length) {
    if (bytes[at] !== 0xff || bytes[at + 1] === 0xff || bytes[at + 1] === 0) {
      at += 1;
      continue;
    }
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return pair(big(bytes, at + 7, 2), big(bytes, at + 5, 2));
    }
    if (marker === 0xd9 || marker === 0xda) return null;
    const isAlone = marker === 1 || (marker >= 0xd0 && marker <= 0xd8);
    at += isAlone ? 2 : 2 + (big(bytes, at + 2, 2) || bytes.length);
  }
  return null;
}

function ofWebp(bytes) {
  if (begins(bytes, 12, ASCII("VP8X"))) return pair(1 + little(bytes, 24, 3), 1 + little(bytes, 27, 3));
  if (begins(bytes, 12, ASCII("VP8L")) && bytes[20] === 0x2f) {
    const packed = little(bytes, 21, 4);
    return pair((packed & 0x3fff) + 1, (Math.floor(packed / 0x4000) & 0x3fff) + 1);
  }
  if (begins(bytes, 12, ASCII("VP8 ")) && begins(bytes, 23, [0x9d, 0x01, 0x2a])) {
    return pair(little(bytes, 26, 2) & 0x3fff, little(bytes, 28, 2) & 0x3fff);
  }
  return null;
}

/** Null beyond the end of the bytes too, where a number is NaN. */
function pair(width, height) {
  return width > 0 && height > 0 ? [width, height] : null;
}

function begins(bytes, at, expected) {
  return expected.every((value, place) => bytes[at + place] === value);
}

/** A number of some bytes, NaN beyond their end. */
function big(bytes, at, length) {
  let value = 0;
  for (let place = 0; place < length; place += 1) value = value * 256 + (bytes[at + place] ?? NaN);
  return value;
}

function little(bytes, at, length) {
  let value = 0;
  for (let place = length - 1; place >= 0; place -= 1) value = value * 256 + (bytes[at + place] ?? NaN);
  return value;
}
