/** Sign-in at an OpenID Connect issuer: leads there, and takes the answer with which it leads back. */

import { Problem } from "./api.js";
import { t } from "./texts.js";

const KEY = "kaiser.sign-in";

/** {state, code, iss, error, text} as an issuer adds them to the page's address; null where there is no answer. */
export function answerIn(search) {
  const given = new URLSearchParams(search);
  if (!given.has("state") || !(given.has("code") || given.has("error"))) return null;
  const [state, code, iss, error] = ["state", "code", "iss", "error"].map((name) => given.get(name));
  return { state, code, iss, error, text: given.get("error_description") ?? error };
}

/** What was begun is kept in this tab alone: an answer that somebody else asked for signs nobody in. */
export function openExternal({ api, session, storage, place, history }) {
  return {
    async begin() {
      const { url, flow } = await api.beginExternal(`${place.origin}/`);
      storage.setItem(KEY, JSON.stringify({ flow, hash: place.hash }));
      place.assign(url);
    },
    /** Ends a sign-in where the address has an answer; the address is clean afterwards. A failure is the session's notice. */
    async finish() {
      const answer = answerIn(place.search);
      if (!answer) return;
      const begun = JSON.parse(storage.getItem(KEY) ?? "null");
      storage.removeItem(KEY);
      history.replaceState(null, "", `${place.pathname}${begun?.hash ?? ""}`);
      const { state, code, iss, error, text } = answer;
      if (!begun) return session.notice.set(t("external.this_sign_in_was_not"));
      if (error === "access_denied") return session.notice.set(t("external.the_sign_in_was_cancelled"));
      if (error) return session.notice.set(t("external.the_issuer_refused_the_sign", { text }));
      try {
        await api.finishExternal({ flow: begun.flow, state, code, ...(iss ? { iss } : {}) });
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        session.notice.set(t("external.the_sign_in_failed", { message: problem.message }));
      }
    },
  };
}
