/** Users: who may sign in, with which role; for administrators. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog, useLoaded } from "../ui/hooks.js";
import { Badge, Head, ListState } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { SessionList } from "./session_list.js";
import { t, word } from "../core/texts.js";

const ROLES = [["viewer", t("users.viewer_sees")], ["operator", t("users.operator_sees_and_acts")], ["admin", t("users.admin_and_keeps_users_and")]];
const KINDS = { viewer: "idle", operator: "info", admin: "warn" };

export function Users() {
  const { api, session } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/auth/users"), []);
  const [opened, open, close] = useDialog();
  const users = loaded.data?.items ?? [];
  const own = session.current.get()?.user;
  const done = () => {
    close();
    loaded.reload();
  };
  return html`
    <${Head} title=${t("common.users")}>
      <button type="button" class="primary" onClick=${() => open({ Content: EditDialog, user: null })}>${t("users.add_a_user")}</button>
    <//>
    <${ListState} loaded=${loaded} count=${users.length} empty=${t("users.there_is_no_user")} />
    <${Table} label=${t("common.users")} rows=${users} keyOf=${({ username }) => username} columns=${columns(own, open)} />
    ${opened && html`<${opened.Content} user=${opened.user} onDone=${done} onClose=${close} />`}`;
}

const columns = (own, open) => [
  { name: t("common.name"), cell: ({ username }) => html`${username} ${username === own && html`<span class="quiet">${t("users.you")}</span>`}` },
  { name: t("users.role"), cell: ({ role }) => html`<${Badge} kind=${KINDS[role]}>${word(role, "role")}<//>` },
  {
    name: t("common.do"),
    class: "actions",
    cell: (user) => html`
      <button type="button" aria-label=${t("common.edit_3", { username: user.username })} onClick=${() => open({ Content: EditDialog, user })}>${t("common.edit")}</button>
      <button type="button" aria-label=${t("users.sessions_of", { username: user.username })}
        onClick=${() => open({ Content: SessionsDialog, user })}>${t("users.sessions")}</button>
      ${user.username !== own && html`
        <button type="button" aria-label=${t("common.remove_9", { username: user.username })}
          onClick=${() => open({ Content: RemoveDialog, user })}>${t("common.remove_4")}</button>`}`,
  },
];

/** A new user, or the role and password of one. */
function EditDialog({ user, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [save, state] = useAction(async ({ username = user?.username, role, password }) => {
    await api.put(path`/api/v1/auth/users/${username}`, given({ role, password }));
    toasts.say(t("common.is_saved_2", { username }));
    onDone();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${user ? t("common.edit_3", { username: user.username }) : t("users.add_a_user")} onClose=${onClose}>
      <${Form} onSubmit=${save} submit=${user ? t("common.save") : t("common.add")} state=${state}>
        ${!user && html`
          <${TextField} label=${t("common.name")} name="username" required maxlength="64" pattern="[A-Za-z0-9_.@\\-]+" problem=${problem}
            hint=${t("users.letters_digits_and")} />`}
        <${SelectField} label=${t("users.role")} name="role" options=${ROLES} value=${user?.role ?? "viewer"} problem=${problem} />
        <${Field} label=${user ? t("users.new_password_empty_as_it") : t("common.password")} name="password" problem=${problem}
          hint=${t("users.8_characters_or_more_it")}>
          <input type="password" name="password" autocomplete="new-password" minlength="8" required=${!user} />
        <//>
      <//>
    <//>`;
}

const SessionsDialog = ({ user, onClose }) => html`
  <${Dialog} title=${t("users.sessions_of", { username: user.username })} onClose=${onClose} wide><${SessionList} username=${user.username} /><//>`;

function RemoveDialog({ user, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(path`/api/v1/auth/users/${user.username}`);
    toasts.say(t("common.is_removed_3", { username: user.username }));
    onDone();
  });
  return html`
    <${Dialog} title=${t("common.remove_8", { username: user.username })} onClose=${onClose}>
      <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${state} danger><p>${t("users.every_session_of_the_user")}</p><//>
    <//>`;
}
