/** Who is signed in: the tokens of this tab, kept in its sessionStorage, and nowhere else. */

import { store } from "./store.js";

const KEY = "kaiser.session";
const RANK = { viewer: 0, operator: 1, admin: 2 };

/** `current` holds {user, role, accessToken, refreshToken}, or null; `notice` says why the last session ended. */
export function openSession(storage) {
  const current = store(read(storage));
  const notice = store("");

  function keep(session) {
    if (session) storage.setItem(KEY, JSON.stringify(session));
    else storage.removeItem(KEY);
    current.set(session);
  }

  return {
    current,
    notice,
    begin(user, tokens) {
      notice.set("");
      keep(ofTokens(user, tokens));
    },
    renew(tokens) {
      keep(ofTokens(current.get().user, tokens));
    },
    end(reason = "") {
      notice.set(reason);
      keep(null);
    },
    may(role) {
      const session = current.get();
      return session !== null && RANK[session.role] >= RANK[role];
    },
  };
}

function ofTokens(user, tokens) {
  return { user, role: tokens.role, accessToken: tokens.access_token, refreshToken: tokens.refresh_token };
}

function read(storage) {
  const text = storage.getItem(KEY);
  return text ? JSON.parse(text) : null;
}
