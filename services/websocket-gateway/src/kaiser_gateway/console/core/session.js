/** Who is signed in: the tokens, kept in the sessionStorage of each tab that has them (tabs.js), and nowhere else. */

import { store } from "./store.js";

const KEY = "kaiser.session";
const RANK = { viewer: 0, operator: 1, admin: 2 };

/** `current` holds {user, role, external, accessToken, refreshToken, renewedFrom, tokens}, or null; external: of a user of the
 *  OpenID Connect issuer; renewedFrom is the refresh token of before, and tokens the gateway's answer, for tabs that still have that one (tabs.js); `notice` says why the last session ended. */
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
    /** The session of another tab. */
    adopt(session) {
      notice.set("");
      keep(session);
    },
    renew(tokens) {
      const { user, refreshToken } = current.get();
      keep({ ...ofTokens(user, tokens), renewedFrom: refreshToken });
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
  const external = tokens.username !== undefined;
  return { user, role: tokens.role, external, accessToken: tokens.access_token, refreshToken: tokens.refresh_token, tokens };
}

function read(storage) {
  const text = storage.getItem(KEY);
  return text ? JSON.parse(text) : null;
}
