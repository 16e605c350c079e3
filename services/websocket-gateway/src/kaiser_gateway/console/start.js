/** Starts the console, and tries again when its files did not all come: a network that changes loses some. */

const AGAIN_MS = 2000;

const app = document.querySelector("#app");
let notLoaded = "The console could not be loaded. Trying again…"; // while the catalogue itself is missing

try {
  const { openTexts, t } = await import("./core/texts.js");
  await openTexts(localStorage, navigator.languages, document.documentElement);
  notLoaded = t("start.not_loaded");
  app.querySelector(".starting").textContent = t("start.starting");
  await import("./main.js");
} catch (error) {
  console.warn("the console was not loaded whole:", error);
  app.textContent = notLoaded;
  setTimeout(() => location.reload(), AGAIN_MS);
}
