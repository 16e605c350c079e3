/** The words of the console, in the language that was chosen: one catalogue a language, `texts/`. */

import en from "./texts/en.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const LOCALES = { en: "en-GB", de: "de-DE" };
const KEY = "kaiser.language";

let language = "en";
let texts = en;
let plurals = new Intl.PluralRules("en");

/** The language that is kept, else the first of the browser's that there is, else English. `kept`: null for none. */
export function languageOf(kept, wanted) {
  const known = [kept, ...wanted.map((one) => one.slice(0, 2).toLowerCase())].find((one) => one in LANGUAGES);
  return known ?? "en";
}

/** Before anything else of the console is loaded: some of its texts are read then. */
export async function openTexts(storage, wanted, root) {
  language = languageOf(storage.getItem(KEY), wanted);
  if (language !== "en") texts = (await import(`./texts/${language}.js`)).default;
  plurals = new Intl.PluralRules(language);
  root.lang = language;
}

/** Keeps a language; null: that of the browser. The page is to be loaded again. */
export function keepLanguage(storage, chosen) {
  if (chosen) storage.setItem(KEY, chosen);
  else storage.removeItem(KEY);
}

export const keptLanguage = (storage) => storage.getItem(KEY);

/** For Intl. */
export const locale = () => LOCALES[language];

/** A text with its values. Where the catalogue has forms, `values.n` chooses one. */
export const t = (key, values = {}) => pieces(key, values).map((piece, index) => (index % 2 ? values[piece] : piece)).join("");

/** The same as a list, for templates: values may be elements. */
export const tx = (key, values = {}) => pieces(key, values).map((piece, index) => (index % 2 ? values[piece] : piece));

/** What the API calls something, such as a state, in the language of the console; `otherwise` where the catalogue lacks it.
 *  `of`: what it is, where a word alone does not say it: an order's ERROR, a mock's ERROR. */
export const word = (value, of = null, otherwise = value) => texts[of === null ? `word.${value}` : `word.${of}.${value}`] ?? otherwise;

/** Whether the server's own texts, which are English, are in the language of the console. */
export const isEnglish = () => language === "en";

/** The sentence of the catalogue about something that the API names, with its values; null if there is none, or if a
 *  value is missing, as in a message of an older server. */
export function sentence(value, of, values) {
  const text = texts[`word.${of}.${value}`];
  if (text === undefined) return null;
  const parts = text.split(/\{(\w+)\}/);
  const isKnown = (name) => Object.hasOwn(values, name) && values[name] !== null && values[name] !== undefined;
  if (parts.some((part, index) => index % 2 && !isKnown(part))) return null;
  return parts.map((part, index) => (index % 2 ? values[part] : part)).join("");
}

/** Text and names of values in turn. */
function pieces(key, values) {
  const text = texts[key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return (typeof text === "string" ? text : text[plurals.select(values.n)] ?? text.other).split(/\{(\w+)\}/);
}
