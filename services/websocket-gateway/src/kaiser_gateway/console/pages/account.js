/** The own account: its password and its sessions. */

import { Field, Form } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Head, Panel } from "../ui/parts.js";
import { SessionList } from "./session_list.js";

export function Account() {
  const { session, site } = useApp();
  const [changes, setChanges] = useState(0);
  const isExternal = session.current.get()?.external;
  return html`
    <${Head} title="Password and sessions" />
    <div class="panels">
      <${Panel} title="Password">
        ${isExternal
          ? html`<p>${`You signed in with ${site.sign_in?.name ?? "an issuer"}: your password and your sessions are kept there.`}</p>`
          : html`<${PasswordForm} key=${changes} onDone=${() => setChanges(changes + 1)} />`}
      <//>
      ${!isExternal && html`<${Panel} title="Sessions" class="wide-panel"><${SessionList} key=${changes} /><//>`}
    </div>`;
}

function PasswordForm({ onDone }) {
  const { api, toasts } = useApp();
  const [change, state] = useAction(async ({ current, next }) => {
    await api.changePassword(current, next);
    toasts.say("The password is changed. Every other session has ended.");
    onDone();
  });
  return html`
    <${Form} onSubmit=${change} submit="Change the password" state=${state}>
      <${Field} label="Current password" name="current" problem=${state.problem}>
        <input type="password" name="current" autocomplete="current-password" required />
      <//>
      <${Field} label="New password" name="next" hint="8 characters or more; a long sentence is best" problem=${state.problem}>
        <input type="password" name="next" autocomplete="new-password" minlength="8" required />
      <//>
    <//>`;
}
