/** One renewal for tabs that share a refresh token, as a duplicated tab does: a token that is used twice ends its session. */

const ANSWER_MS = 200;
const RENEWAL_MS = 20_000;

/**
 * Tabs of this origin talk over a channel: {ask}, {busy} and {renewed, tokens} carry the refresh token in question.
 * Of two that ask at the same time the one with the lower number goes on, the other waits for its tokens.
 */
export function openTabs(session, channel = new BroadcastChannel("kaiser.session")) {
  const number = Math.random();
  let pending = null;

  channel.onmessage = ({ data }) => {
    if (data.renewed !== undefined) {
      if (data.tokens && session.current.get()?.refreshToken === data.renewed) session.renew(data.tokens);
      if (pending?.token === data.renewed) pending.settle(data.tokens);
    } else if (data.busy !== undefined) {
      if (pending?.token === data.busy) pending.wait(RENEWAL_MS);
    } else if (data.ask !== undefined) {
      answer(data);
    }
  };

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
    /** `ask` gets new tokens from the gateway, or null where it refuses; the tokens, whoever got them. */
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
