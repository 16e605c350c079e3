/** Starts the console, and tries again when its files did not all come: a network that changes loses some. */

const AGAIN_MS = 2000;

try {
  const { openTexts } = await import("./core/texts.js");
  await openTexts(localStorage, navigator.languages, document.documentElement);
  await import("./main.js");
} catch (error) {
  console.warn("the console was not loaded whole:", error);
  document.querySelector("#app").textContent = "The console could not be loaded. Trying again…";
  setTimeout(() => location.reload(), AGAIN_MS);
}
