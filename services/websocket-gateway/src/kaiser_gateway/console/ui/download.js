/** Files that the page gives to the browser to keep. */

const GONE_AFTER_MS = 60_000;

/** Saves a Blob under a name. A browser that asks where to keep it may read it a while later, so it stays for a minute. */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), GONE_AFTER_MS);
}
