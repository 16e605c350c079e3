/** Sign-in: by name and password, or at the issuer that is set up. */

import { Button } from "../ui/button.js";
import { Form, Field, TextField } from "../ui/form.js";
import { html, useApp, useEffect } from "../ui/html.js";
import { useAction, useStore } from "../ui/hooks.js";
import { ProblemNotice } from "../ui/parts.js";
import { t } from "../core/texts.js";

export function SignIn() {
  const { api, session, site } = useApp();
  const [signIn, state] = useAction(({ username, password }) => api.signIn(username ?? "", password ?? ""));
  const notice = useStore(session.notice);
  useEffect(() => {
    document.title = t("sign_in.sign_in_kaiser");
  }, []);
  return html`
    <main class="sign-in">
      <h1>Kaiser</h1>
      ${notice && html`<p class="notice notice-warn" role="status">${notice}</p>`}
      ${site.sign_in && html`<${IssuerButton} name=${site.sign_in.name} />`}
      <${Form} onSubmit=${signIn} submit=${t("sign_in.sign_in")} state=${state}>
        <${TextField} label=${t("common.name")} name="username" autocomplete="username" required autofocus=${!site.sign_in} />
        <${Field} label=${t("common.password")} name="password">
          <input type="password" name="password" autocomplete="current-password" required />
        <//>
      <//>
    </main>`;
}

function IssuerButton({ name }) {
  const { external } = useApp();
  const [begin, state] = useAction(() => external.begin());
  return html`
    <div class="buttons issuer">
      <${Button} class="primary" isBusy=${state.isBusy} onClick=${() => begin()}>${t("sign_in.sign_in_with", { name })}<//>
    </div>
    <${ProblemNotice} problem=${state.problem} />
    <p class="quiet">${t("sign_in.or_with_a_name_of")}</p>`;
}
