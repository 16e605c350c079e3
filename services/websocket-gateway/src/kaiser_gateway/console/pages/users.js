/** Users: who may sign in, with which role; for administrators. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { Badge, Head, ListState } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { SessionList } from "./session_list.js";

const ROLES = [["viewer", "viewer: sees"], ["operator", "operator: sees and acts"], ["admin", "admin: and keeps users and channels"]];
const KINDS = { viewer: "idle", operator: "info", admin: "warn" };

export function Users() {
  const { api, session } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/auth/users"), []);
  const [open, setOpen] = useState(null);
  const users = loaded.data?.items ?? [];
  const own = session.current.get()?.user;
  const close = () => setOpen(null);
  const done = () => {
    close();
    loaded.reload();
  };
  return html`
    <${Head} title="Users">
      <button type="button" class="primary" onClick=${() => setOpen({ Content: EditDialog, user: null })}>Add a user</button>
    <//>
    <${ListState} loaded=${loaded} count=${users.length} empty="There is no user." />
    <${Table} label="Users" rows=${users} keyOf=${({ username }) => username} columns=${columns(own, setOpen)} />
    ${open && html`<${open.Content} user=${open.user} onDone=${done} onClose=${close} />`}`;
}

const columns = (own, setOpen) => [
  { name: "Name", cell: ({ username }) => html`${username} ${username === own && html`<span class="quiet">(you)</span>`}` },
  { name: "Role", cell: ({ role }) => html`<${Badge} kind=${KINDS[role]}>${role}<//>` },
  {
    name: "Do",
    class: "actions",
    cell: (user) => html`
      <button type="button" aria-label=${`Edit ${user.username}`} onClick=${() => setOpen({ Content: EditDialog, user })}>Edit…</button>
      <button type="button" aria-label=${`Sessions of ${user.username}`}
        onClick=${() => setOpen({ Content: SessionsDialog, user })}>Sessions…</button>
      ${user.username !== own && html`
        <button type="button" aria-label=${`Remove ${user.username}`}
          onClick=${() => setOpen({ Content: RemoveDialog, user })}>Remove…</button>`}`,
  },
];

/** A new user, or the role and password of one. */
function EditDialog({ user, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [save, state] = useAction(async ({ username = user?.username, role, password }) => {
    await api.put(path`/api/v1/auth/users/${username}`, given({ role, password }));
    toasts.say(`${username} is saved.`);
    onDone();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${user ? `Edit ${user.username}` : "Add a user"} onClose=${onClose}>
      <${Form} onSubmit=${save} submit=${user ? "Save" : "Add"} state=${state}>
        ${!user && html`
          <${TextField} label="Name" name="username" required maxlength="64" pattern="[A-Za-z0-9_.@\\-]+" problem=${problem}
            hint="letters, digits and _ . @ -" />`}
        <${SelectField} label="Role" name="role" options=${ROLES} value=${user?.role ?? "viewer"} problem=${problem} />
        <${Field} label=${user ? "New password (empty: as it is)" : "Password"} name="password" problem=${problem}
          hint="8 characters or more; it ends every session of the user">
          <input type="password" name="password" autocomplete="new-password" minlength="8" required=${!user} />
        <//>
      <//>
    <//>`;
}

const SessionsDialog = ({ user, onClose }) => html`
  <${Dialog} title=${`Sessions of ${user.username}`} onClose=${onClose} wide><${SessionList} username=${user.username} /><//>`;

function RemoveDialog({ user, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(path`/api/v1/auth/users/${user.username}`);
    toasts.say(`${user.username} is removed.`);
    onDone();
  });
  return html`
    <${Dialog} title=${`Remove ${user.username}?`} onClose=${onClose}>
      <${Form} onSubmit=${remove} submit="Remove" state=${state} danger><p>Every session of the user ends at once.</p><//>
    <//>`;
}
