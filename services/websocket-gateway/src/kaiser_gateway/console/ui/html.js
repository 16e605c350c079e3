/** Templates and hooks: what the vendored libraries give, under one roof. Text in a template is always escaped. */

import htm from "../vendor/htm-3.1.1/htm.module.js";
import { createContext, h } from "../vendor/preact-11.2.0/preact.mjs";
import { useContext } from "../vendor/preact-11.2.0/hooks.mjs";

export { createPortal, options, render } from "../vendor/preact-11.2.0/preact.mjs";
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-11.2.0/hooks.mjs";

export const html = htm.bind(h);

const App = createContext(null);

export const AppProvider = App.Provider;

/** What main.js built: {site, external, session, api, feed, log, socket, directory, emergencies, environment, alarms, sound, toasts, theme}. */
export const useApp = () => useContext(App);
