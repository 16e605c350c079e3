/** The sessions of a user: when and where each began, and its end. */

import { path } from "../core/api.js";
import { ago, orNone } from "../core/format.js";
import { Button } from "../ui/button.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useLoaded, useNow } from "../ui/hooks.js";
import { Badge, ListState, ProblemNotice } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

const PATH = "/api/v1/auth/sessions";

/** `username`: of another user, which an administrator may ask for; null: the own ones. */
export function SessionList({ username = null }) {
  const { api, toasts } = useApp();
  const loaded = useLoaded(() => api.get(PATH, { username }), [username]);
  const now = useNow();
  const [end, state] = useAction(async (session) => {
    await api.delete(path`/api/v1/auth/sessions/${session}`);
    toasts.say(t("session_list.the_session_has_ended"));
    loaded.reload();
  });
  const sessions = loaded.data?.items ?? [];
  return html`
    <${ListState} loaded=${loaded} count=${sessions.length} empty=${t("session_list.there_is_no_session")} />
    <${ProblemNotice} problem=${state.problem} />
    <${Table} label=${t("common.sessions")} rows=${sessions} keyOf=${({ session }) => session} columns=${columns(now, end, state.isBusy)} />`;
}

const columns = (now, end, isBusy) => [
  {
    name: t("session_list.program"),
    cell: ({ agent, current }) => html`${programOf(agent)} ${current && html`<${Badge} kind="good">${t("session_list.this_one")}<//>`}`,
  },
  { name: t("common.address"), cell: ({ address }) => orNone(address) },
  { name: t("session_list.since"), cell: ({ begun_at: at }) => when(at) },
  { name: t("session_list.last_renewed"), cell: ({ used_at: at }) => ago(at, now) },
  {
    name: t("session_list.end"),
    class: "actions",
    cell: ({ session, current, address }) => (current ? null : html`
      <${Button} isBusy=${isBusy} aria-label=${t("session_list.end_the_session_from", { address })} onClick=${() => end(session)}>${t("session_list.end")}<//>`),
  },
];

const BROWSERS = [["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"];

/** "Firefox on Linux", else what the program says of itself. */
function programOf(agent) {
  const browser = BROWSERS.find(([mark]) => agent.includes(mark))?.[1];
  const system = SYSTEMS.find((name) => agent.includes(name));
  return browser ? [browser, system].filter(Boolean).join(word(" on ")) : orNone(agent);
}
