/** Sign-in. */

import { Form, Field, TextField } from "../ui/form.js";
import { html, useApp, useEffect } from "../ui/html.js";
import { useAction, useStore } from "../ui/hooks.js";

export function SignIn() {
  const { api, session } = useApp();
  const [signIn, state] = useAction(({ username, password }) => api.signIn(username ?? "", password ?? ""));
  const notice = useStore(session.notice);
  useEffect(() => {
    document.title = "Sign in – Kaiser";
  }, []);
  return html`
    <main class="sign-in">
      <h1>Kaiser</h1>
      ${notice && html`<p class="notice notice-warn" role="status">${notice}</p>`}
      <${Form} onSubmit=${signIn} submit="Sign in" state=${state}>
        <${TextField} label="Name" name="username" autocomplete="username" required autofocus />
        <${Field} label="Password" name="password">
          <input type="password" name="password" autocomplete="current-password" required />
        <//>
      <//>
    </main>`;
}
