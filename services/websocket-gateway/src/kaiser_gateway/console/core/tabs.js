/**
 * One session for all tabs of a browser: a new tab gets it from one that is open, a sign-in or sign-out counts for all of
 * them, and a refresh token is used by one of them alone, because a token that is used twice ends its session.
 */

import { t } from "./texts.js";

const ANSWER_MS = 200;
const RENEWAL_MS = 20_000;
const GREETING_MS = 300;

/**
 * Tabs of this origin talk over a channel: {ask}, {busy} and {renewed, tokens} carry the refresh token in question;
 * {hello} asks for the session, {session, instead} gives it, also in place of one that it follows, {ended} is the refresh token of one that somebody signed out of.
 * Of two that ask at the same time the one with the lower number goes on, the other waits for its tokens.
 */
export function openTabs(session, channel = new BroadcastChannel("kaiser.session")) {
  const number = Math.random();
  let pending = null;
  let heard = () => {};
  let isTold = false; // what another tab said is not said again

  channel.onmessage = ({ data }) => {
    if (data.hello) {
      if (session.current.get()) channel.postMessage({ session: session.current.get() });
    } else if (data.session) {
      const mine = session.current.get();
      if (!mine || mine.refreshToken === data.instead) told(() => session.adopt(data.session));
      heard();
    } else if (data.ended !== undefined) {
      if (session.current.get()?.refreshToken === data.ended) told(() => session.end(t("tabs.the_session_was_ended_in")));
    } else if (data.renewed !== undefined) {
      if (data.tokens && session.current.get()?.refreshToken === data.renewed) session.renew(data.tokens);
      if (pending?.token === data.renewed) pending.settle(data.tokens);
    } else if (data.busy !== undefined) {
      if (pending?.token === data.busy) pending.wait(RENEWAL_MS);
    } else if (data.ask !== undefined) {
      answer(data);
    }
  };

  function told(change) {
    isTold = true;
    change();
    isTold = false;
  }

  let before = session.current.get();
  session.current.subscribe((now) => {
    const isNew = now && (!before || now.renewedFrom === undefined);
    if (!isTold && isNew) channel.postMessage({ session: now, instead: before?.refreshToken });
    if (!isTold && !now && before) channel.postMessage({ ended: before.refreshToken });
    before = now;
  });

  function answer({ ask, from }) {
    const known = session.current.get();
    if (known?.renewedFrom === ask) {
      channel.postMessage({ renewed: ask, tokens: known.tokens });
    } else if (pending?.token === ask) {
      if (pending.sending || number < from) channel.postMessage({ busy: ask });
      else pending.wait(RENEWAL_MS);
    }
  }

  /** The tokens that another tab got for this one; null when this tab is to ask the gateway. */
  function ofAnotherTab(token) {
    return new Promise((done) => {
      let timer = null;
      pending = {
        token,
        sending: false,
        settle(tokens) {
          clearTimeout(timer);
          pending.sending = true;
          done(tokens);
        },
        wait(ms) {
          if (pending.sending) return;
          clearTimeout(timer);
          timer = setTimeout(() => pending.settle(null), ms);
        },
      };
      pending.wait(ANSWER_MS);
      channel.postMessage({ ask: token, from: number });
    });
  }

  return {
    /** Takes the session of a tab that is open, if there is one; waits for it a moment. */
    async greet() {
      if (session.current.get()) return;
      await new Promise((done) => {
        heard = done;
        setTimeout(done, GREETING_MS);
        channel.postMessage({ hello: true });
      });
    },
    /** `ask` gets new tokens from the gateway, or null if it refuses. Returns the tokens, whichever tab got them. */
    async renew(token, ask) {
      let tokens = null;
      try {
        tokens = (await ofAnotherTab(token)) ?? (await ask());
        return tokens;
      } finally {
        pending = null;
        channel.postMessage({ renewed: token, tokens });
      }
    },
  };
}
