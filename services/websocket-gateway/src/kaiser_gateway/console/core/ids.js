/** Random ids; `crypto.randomUUID` is there over HTTPS only, and many consoles are used within a house over HTTP. */

export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
