/** Requests to Kaiser's REST API, with the session's token; every failure is a Problem. */

import { problemText } from "./problems.js";
import { t } from "./texts.js";

const TIMEOUT_MS = 30_000;
const FILE_TIMEOUT_MS = 3_600_000;
const AGAIN_MS = 500;
const UNAUTHORIZED = 401;
const ENDS_SESSION = [UNAUTHORIZED, 403, 422]; // answers to a refresh token after which there is no session

/** Why a request failed: the members of RFC 9457 with Kaiser's code; status 0 when no answer came. `message` is in the
 *  language of the console, `detail` as the server wrote it. */
export class Problem extends Error {
  constructor({ status = 0, code = null, title = "", detail = "", field = null, rule = null, limit = null, request_id: requestId = null }) {
    const said = detail || title || `HTTP ${status}`;
    super(problemText({ status, code, rule, limit }, said));
    Object.assign(this, { status, code, title, detail: said, field, rule, limit, requestId });
  }
}

/** @param session see session.js; an access token that has expired is renewed once, by one of the tabs that share it. */
export function openApi(session, tabs) {
  let renewal = null;

  async function request(method, path, { query, json: body, headers, timeoutMs = TIMEOUT_MS } = {}) {
    const ask = () => send(method, path, { query, json: body, headers, timeoutMs, token: session.current.get()?.accessToken });
    let answer = await ask();
    if (answer.status === UNAUTHORIZED && session.current.get()) {
      if (!(await renew())) throw await problemOf(answer);
      answer = await ask();
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }

  async function json(...asked) {
    const answer = await request(...asked);
    return answer.status === 204 ? null : jsonOf(answer);
  }

  /** Whether the session goes on; requests that fail at the same time share one renewal. */
  function renew() {
    renewal ??= askForTokens().finally(() => { renewal = null; });
    return renewal;
  }

  async function askForTokens() {
    const refreshToken = session.current.get()?.refreshToken ?? "";
    const tokens = await tabs.renew(refreshToken, () => refresh(refreshToken));
    if (tokens && session.current.get()?.refreshToken === refreshToken) session.renew(tokens);
    return session.current.get() !== null;
  }

  /** New tokens, or null after the end of the session. */
  async function refresh(refreshToken) {
    const body = { refresh_token: refreshToken };
    const path = session.current.get()?.external ? "/api/v1/auth/oidc/refresh" : "/api/v1/auth/refresh";
    const answer = await send("POST", path, { json: body, timeoutMs: TIMEOUT_MS });
    if (answer.ok) return jsonOf(answer);
    if (!ENDS_SESSION.includes(answer.status)) throw await problemOf(answer);
    if (session.current.get()?.refreshToken === refreshToken) session.end(t("api.your_session_has_ended_please")); // else a new one has begun
    return null;
  }

  return {
    renew,
    async signIn(username, password) {
      const answer = await send("POST", "/api/v1/auth/token", { form: { username, password }, timeoutMs: TIMEOUT_MS });
      if (!answer.ok) throw await problemOf(answer);
      session.begin(username, await jsonOf(answer));
    },
    /** Every session ends with the old password; this tab goes on with the tokens of a new one. */
    async changePassword(current, next) {
      const { user } = session.current.get(); // the old session may be refused before the answer is here
      session.begin(user, await json("POST", "/api/v1/auth/password", { json: { current, new: next } }));
    },
    /** {url, flow}: the issuer's page, and what `finishExternal` needs. */
    async beginExternal(home) {
      const answer = await send("POST", "/api/v1/auth/oidc/begin", { json: { redirect_uri: home }, timeoutMs: TIMEOUT_MS });
      if (!answer.ok) throw await problemOf(answer);
      return jsonOf(answer);
    },
    async finishExternal(body) {
      const answer = await send("POST", "/api/v1/auth/oidc/finish", { json: body, timeoutMs: TIMEOUT_MS });
      if (!answer.ok) throw await problemOf(answer);
      const tokens = await jsonOf(answer);
      session.begin(tokens.username, tokens);
    },
    /** The session ends here immediately; the gateway is asked once to end it too. The address at which a user of the
     *  issuer signs out there, or null. */
    async signOut() {
      const { refreshToken = "", external = false } = session.current.get() ?? {};
      session.end();
      const [path, more] = external
        ? ["/api/v1/auth/oidc/logout", { redirect_uri: `${location.origin}/` }]
        : ["/api/v1/auth/logout", {}];
      try {
        const answer = await send("POST", path, { json: { refresh_token: refreshToken, ...more }, timeoutMs: TIMEOUT_MS });
        return external && answer.ok ? (await jsonOf(answer)).url : null;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return null;
      }
    },
    get: (path, query) => json("GET", path, { query }),
    /** A body that is not JSON, such as a picture. */
    blob: async (path, options) => (await request("GET", path, options)).blob().catch((error) => { throw toProblem(error); }),
    post: (path, body, options) => json("POST", path, { json: body, ...options }),
    put: (path, body) => json("PUT", path, { json: body }),
    /** `version`: as it was read; 412 if somebody else has changed it since. */
    patch: (path, body, { version } = {}) => json("PATCH", path, { json: body, headers: matching(version) }),
    delete: (path, { version } = {}) => json("DELETE", path, { headers: matching(version) }),
    /** Sends a file as the body; `onProgress` gets the share that is sent, 0 to 1. */
    async upload(path, query, file, onProgress) {
      await json("GET", "/api/v1/recordings", { query: { limit: 1 } }); // renews a token that has expired
      return sendFile(path + queryString(query), file, session.current.get()?.accessToken, onProgress);
    },
  };
}

/** {time_zone, sign_in}: what the page needs before sign-in. */
export async function fetchSite() {
  const answer = await send("GET", "/api/v1/site", { timeoutMs: TIMEOUT_MS });
  if (!answer.ok) throw await problemOf(answer);
  return jsonOf(answer);
}

const matching = (version) => (version ? { "If-Match": `"${version}"` } : {});

/** A path of the API; every part is encoded, so that an id cannot lead elsewhere. */
export function path(strings, ...parts) {
  return strings.reduce((text, string, index) => text + encodeURIComponent(parts[index - 1]) + string);
}

async function send(method, url, { query, json, form, headers, token, timeoutMs }) {
  const allHeaders = { ...headers };
  if (token) allHeaders.Authorization = `Bearer ${token}`;
  if (json !== undefined) allHeaders["Content-Type"] = "application/json";
  const body = form ? new URLSearchParams(form) : json === undefined ? undefined : JSON.stringify(json);
  const ask = () =>
    fetch(url + queryString(query), { method, headers: allHeaders, body, signal: AbortSignal.timeout(timeoutMs) });
  try {
    return await (method === "GET" ? askTwice(ask) : ask());
  } catch (error) {
    if (error.name === "TimeoutError") throw new Problem({ detail: t("api.no_answer_came_within_s", { it: timeoutMs / 1000 }) });
    throw toProblem(error);
  }
}

/** The body of an answer. A body that breaks off or takes too long is a Problem too. */
const jsonOf = (answer) => answer.json().catch((error) => { throw toProblem(error); });

const BREAKS = new Set(["TypeError", "TimeoutError"]);

/** A network error as the Problem that pages show; any other error as it is. */
const toProblem = (error) => (BREAKS.has(error.name) ? new Problem({ detail: t("api.the_gateway_cannot_be_reached_2") }) : error);

/** fetch does not say how much of a body is sent. */
function sendFile(url, file, token, onProgress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.responseType = "json";
    request.timeout = FILE_TIMEOUT_MS;
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () => {
      if (request.status < 400) done(request.response);
      else failed(new Problem({ status: request.status, title: request.statusText, ...request.response }));
    };
    request.onerror = () => failed(new Problem({ detail: t("api.the_gateway_cannot_be_reached") }));
    request.ontimeout = () => failed(new Problem({ detail: t("api.the_file_was_not_sent") }));
    request.send(file);
  });
}

/** A network that changes breaks off what is under way; what only reads may be asked again. */
async function askTwice(ask) {
  try {
    return await ask();
  } catch (error) {
    if (error.name !== "TypeError") throw error;
    await new Promise((done) => setTimeout(done, AGAIN_MS));
    return ask();
  }
}

function queryString(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function problemOf(answer) {
  const isProblem = answer.headers.get("Content-Type")?.includes("json");
  return new Problem(isProblem ? await jsonOf(answer) : { status: answer.status, title: answer.statusText });
}
