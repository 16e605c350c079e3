/** What surrounds every page: the head, the navigation, the banners, and the page itself. */

import { html, useApp, useLayoutEffect, useRef } from "../ui/html.js";
import { useStore } from "../ui/hooks.js";
import { Empty } from "../ui/parts.js";
import { useRoute } from "../ui/route.js";
import { Toasts } from "../ui/toasts.js";
import { SignIn } from "../pages/sign_in.js";
import { ConnectionBanner } from "./connection.js";
import { EmergencyBar } from "./emergency.js";
import { Navigation, PAGES } from "./navigation.js";
import { TopBar } from "./top_bar.js";
import { t, tx, word } from "../core/texts.js";

export function Shell() {
  const { session } = useApp();
  return useStore(session.current) ? html`<${Signed} />` : html`<${SignIn} />`;
}

function Signed() {
  const { session, toasts } = useApp();
  const [name = PAGES[0].name, ...rest] = useRoute();
  const page = PAGES.find((one) => one.name === name);
  const main = useRef(null);

  useLayoutEffect(() => { // not later: it would take the focus from a field in which somebody types already
    document.title = page ? t("shell.kaiser", { title: page.title }) : "Kaiser";
    main.current.querySelector("h1")?.focus();
    scrollTo(0, 0);
  }, [name, rest.join("/")]);

  function skip(event) {
    event.preventDefault();
    main.current.focus();
  }

  return html`
    <a class="skip" href="#main" onClick=${skip}>${t("shell.skip_to_the_page")}</a>
    <${TopBar} />
    <${EmergencyBar} />
    <${ConnectionBanner} />
    <div class="columns">
      <${Navigation} current=${name} />
      <main id="main" tabindex="-1" ref=${main}>
        ${pageOf(page, rest, session)}
      </main>
    </div>
    <${Toasts} toasts=${toasts} />`;
}

function pageOf(page, rest, session) {
  if (!page) return html`<h1 tabindex="-1">${t("shell.not_found")}</h1><${Empty}>${t("shell.there_is_no_such_page")}<//>`;
  if (!session.may(page.role)) {
    return html`<h1 tabindex="-1">${page.title}</h1><${Empty}>${tx("shell.this_page_needs_the_role", { role: word(page.role, "role") })}<//>`;
  }
  return html`<${page.Page} key=${rest.join("/")} parts=${rest} />`;
}
