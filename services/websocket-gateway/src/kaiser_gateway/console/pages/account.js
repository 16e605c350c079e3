/** The own account: its language, its password and its sessions. */

import { LANGUAGES, keepLanguage, keptLanguage, t } from "../core/texts.js";
import { Field, Form, SelectField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Head, Panel } from "../ui/parts.js";
import { SessionList } from "./session_list.js";

export function Account() {
  const { session, site } = useApp();
  const [changes, setChanges] = useState(0);
  const isExternal = session.current.get()?.external;
  return html`
    <${Head} title=${t("common.password_and_sessions")} />
    <div class="panels">
      <${Panel} title=${t("account.language")}><${Language} /><//>
      <${Panel} title=${t("common.password")}>
        ${isExternal
          ? html`<p>${t("account.you_signed_in_with_your", { it: site.sign_in?.name ?? t("account.an_issuer") })}</p>`
          : html`<${PasswordForm} key=${changes} onDone=${() => setChanges(changes + 1)} />`}
      <//>
      ${!isExternal && html`<${Panel} title=${t("common.sessions")} class="wide-panel"><${SessionList} key=${changes} /><//>`}
    </div>`;
}

/** The page is loaded again in the other language; the session stays. */
function Language() {
  function choose(event) {
    keepLanguage(localStorage, event.currentTarget.value);
    location.reload();
  }
  const options = [["", t("account.as_the_browser")], ...Object.entries(LANGUAGES)];
  return html`
    <${SelectField} label=${t("account.language_of_the_console")} name="language" options=${options} value=${keptLanguage(localStorage) ?? ""}
      hint=${t("account.error_texts_of_the_gateway")} onChange=${choose} />`;
}

function PasswordForm({ onDone }) {
  const { api, toasts } = useApp();
  const [change, state] = useAction(async ({ current, next }) => {
    await api.changePassword(current, next);
    toasts.say(t("account.the_password_is_changed_every"));
    onDone();
  });
  return html`
    <${Form} onSubmit=${change} submit=${t("account.change_the_password")} state=${state}>
      <${Field} label=${t("account.current_password")} name="current" problem=${state.problem}>
        <input type="password" name="current" autocomplete="current-password" required />
      <//>
      <${Field} label=${t("account.new_password")} name="next" hint=${t("account.8_characters_or_more_a")} problem=${state.problem}>
        <input type="password" name="next" autocomplete="new-password" minlength="8" required />
      <//>
    <//>`;
}
