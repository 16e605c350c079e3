/** Notifications: the channels to people, the routes that say which alarm goes where, and what was sent. */

import { path } from "../core/api.js";
import { ago } from "../core/format.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useDialog, useEvents, useEvery, useLoaded, useNow } from "../ui/hooks.js";
import { ZoneNames } from "../ui/names.js";
import { Badge, Head, ListState, Panel, Reason } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { ChannelDialog } from "./channel_dialog.js";
import { RouteDialog, inWords } from "./route_dialog.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const PATH = "/api/v1/notifications";
const RECENT = 20;
const LOOK_AGAIN_EVERY_MS = 5000;
const RESULTS = { sent: "good", waiting: "info", failed: "bad", dropped: "idle" };

export function NotificationsPage() {
  const { api, session } = useApp();
  const [opened, open, close] = useDialog();
  const now = useNow();
  const channels = useLoaded(() => api.get(`${PATH}/channels`), []);
  const routes = useLoaded(() => api.get(`${PATH}/routes`), []);
  const sent = useLoaded(() => api.get(PATH, { limit: RECENT }), []);
  const may = session.may("admin");
  useEvents((batch) => {
    if (!batch.some(({ type }) => type === "alarm")) return;
    channels.reloadSoon();
    sent.reloadSoon();
  });
  useEvery(LOOK_AGAIN_EVERY_MS, () => Promise.all([channels.reload(), sent.reload()])); // no event reports that a message was sent
  const all = channels.data?.channels ?? [];
  const ways = routes.data?.routes ?? [];
  const reload = () => [channels, routes, sent].forEach((each) => each.reload());
  const done = () => { close(); reload(); };
  return html`
    <${Head} title=${t("common.notifications")}>
      ${may && html`<button type="button" class="primary" onClick=${() => open({ Kind: ChannelDialog, shown: null })}>${t("notifications.add_a_channel")}</button>
        <button type="button" disabled=${!all.length} onClick=${() => open({ Kind: RouteDialog, shown: null })}>${t("notifications.add_a_route")}</button>`}
    <//>
    ${channels.data && !isReached(all, ways) && routes.data && html`
      <p class="notice notice-warn">${t("notifications.no_route_leads_to_an")}</p>`}
    <${Panel} title=${t("notifications.channels")}>
      <${ListState} loaded=${channels} count=${all.length} empty=${t("notifications.there_is_no_channel_a")} />
      <${Table} label=${t("notifications.channels")} rows=${all} keyOf=${({ channel_id: id }) => id}
        columns=${channelColumns({ now, may, reload: channels.reload, choose: (shown) => open({ Kind: ChannelDialog, shown }), remove: (shown) => open({ Kind: RemoveChannel, shown }) })} />
    <//>
    <${Panel} title=${t("notifications.routes")}>
      <${ListState} loaded=${routes} count=${ways.length} empty=${t("notifications.there_is_no_route_a")} />
      <${Table} label=${t("notifications.routes")} rows=${ways} keyOf=${({ route_id: id }) => id}
        columns=${routeColumns({ may, choose: (shown) => open({ Kind: RouteDialog, shown }), remove: (shown) => open({ Kind: RemoveRoute, shown }) })} />
    <//>
    <${Panel} title=${t("notifications.the_newest_notifications")}>
      <${ListState} loaded=${sent} count=${sent.data?.items.length ?? 0} empty=${t("notifications.nothing_was_sent_yet")} />
      <${Table} label=${t("notifications.notifications_newest_first")} rows=${sent.data?.items ?? []} keyOf=${({ key }) => key} columns=${sentColumns(now)} />
    <//>
    ${opened && html`<${opened.Kind} shown=${opened.shown} channels=${all} onDone=${done} onClose=${close} />`}`;
}

/** Whether at least one enabled route names an enabled channel. */
const isReached = (channels, routes) => {
  const enabled = new Set(channels.filter((one) => one.enabled).map((one) => one.channel_id));
  return routes.some((route) => route.enabled && route.channels.some((id) => enabled.has(id)));
};

const channelColumns = ({ now, may, reload, choose, remove }) => [
  { name: t("notifications.channel"), cell: (one) => html`${one.name}<span class="quiet block">${one.channel_id}, ${one.kind}</span>` },
  { name: t("common.state"), cell: (one) => html`<${ChannelState} channel=${one} now=${now} />` },
  {
    name: t("common.do"),
    class: "actions",
    cell: (one) => may && html`
      <${TestButton} channel=${one} onDone=${reload} />
      <button type="button" aria-label=${t("common.edit_2", { name: one.name })} onClick=${() => choose(one)}>${t("common.edit")}</button>
      <button type="button" class="danger-outline" aria-label=${t("common.remove_6", { name: one.name })} onClick=${() => remove(one)}>${t("common.remove_4")}</button>`,
  },
];

function ChannelState({ channel, now }) {
  const { enabled, last_sent_at: sent, last_failed_at: failed, last_error: error } = channel;
  if (!enabled) return html`<${Badge}>${t("notifications.disabled")}<//>`;
  if (failed && failed > (sent ?? 0)) {
    return html`<${Badge} kind="bad">${t("common.failed")}<//><span class="quiet block">${ago(failed, now)}</span><div><${Reason} text=${error} /></div>`;
  }
  if (sent) return html`<${Badge} kind="good">${t("notifications.works")}<//><span class="quiet block">${tx("notifications.sent", { it: ago(sent, now) })}</span>`;
  return html`<${Badge} kind="info">${t("notifications.not_used_yet")}<//>`;
}

/** Sends a test message and says beside the button how it ended. */
function TestButton({ channel, onDone }) {
  const { api } = useApp();
  const [result, setResult] = useState(null);
  const [test, { problem, isBusy }] = useAction(async () => {
    setResult(null);
    setResult(await api.post(path`/api/v1/notifications/channels/${channel.channel_id}/test`, {}));
    onDone();
  });
  return html`
    <${Button} isBusy=${isBusy} aria-label=${t("notifications.test_2", { name: channel.name })} onClick=${() => test()}>${t("notifications.test")}<//>
    <span class="block" role="status">
      ${isBusy && html`<span class="quiet">${t("notifications.sending")}</span>`}
      ${result && !isBusy && html`
        <${Badge} kind=${result.is_sent ? "good" : "bad"}>${result.is_sent ? t("notifications.the_test_was_sent") : t("notifications.the_test_failed")}<//>
        ${" "}<${Reason} text=${result.error} />`}
      ${problem && !isBusy && html`<span class="field-problem">${problem.message}</span>`}
    </span>`;
}

const routeColumns = ({ may, choose, remove }) => [
  {
    name: t("common.route"),
    cell: (route) => html`${route.route_id}${!route.enabled && html` <${Badge}>${t("notifications.disabled")}<//>`}
      <span class="quiet block">${tx("notifications.to", { it: route.channels.join(", ") })}</span>`,
  },
  { name: t("common.alarms"), cell: (route) => html`${route.severities.map((each) => word(each)).join(", ")}<span class="quiet block">${route.zones.length ? tx("notifications.zones", { it: html`<${ZoneNames} zones=${route.zones} />` }) : t("notifications.every_zone")}</span>` },
  { name: t("common.when"), cell: (route) => inWords(route).map((line) => html`<span class="block" key=${line}>${line}</span>`) },
  {
    name: t("common.do"),
    class: "actions",
    cell: (route) => may && html`
      <button type="button" aria-label=${t("notifications.edit_route", { route_id: route.route_id })} onClick=${() => choose(route)}>${t("common.edit")}</button>
      <button type="button" class="danger-outline" aria-label=${t("notifications.remove_route", { route_id: route.route_id })} onClick=${() => remove(route)}>${t("common.remove_4")}</button>`,
  },
];

const sentColumns = (now) => [
  { name: t("notifications.channel"), cell: (one) => one.channel_id },
  { name: t("notifications.result"), cell: (one) => html`<${Badge} kind=${RESULTS[one.state]}>${word(one.state)}<//><div><${Reason} text=${one.error} /></div>` },
  { name: t("notifications.created"), cell: (one) => html`${when(one.created_at)}<span class="quiet block">${ago(one.created_at, now)}</span>` },
  { name: t("notifications.reference"), cell: (one) => html`<span class="quiet">${one.key}</span>` },
];

const RemoveChannel = ({ shown, onDone, onClose }) => html`
  <${RemoveDialog} name=${shown.name} url=${path`/api/v1/notifications/channels/${shown.channel_id}`}
    ...${{ onDone, onClose }}>${t("notifications.its_url_is_deleted_a")}<//>`;

const RemoveRoute = ({ shown, onDone, onClose }) => html`
  <${RemoveDialog} name=${t("notifications.route", { route_id: shown.route_id })} url=${path`/api/v1/notifications/routes/${shown.route_id}`}
    ...${{ onDone, onClose }}>${t("notifications.it_will_send_no_more")}<//>`;

function RemoveDialog({ name, url, children, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(url);
    toasts.say(t("common.is_removed_2", { name }));
    onDone();
  });
  return html`
    <${Dialog} title=${t("common.remove_5", { name })} onClose=${onClose}>
      <${Form} onSubmit=${remove} submit=${t("common.remove")} state=${state} danger><p>${children}</p><//>
    <//>`;
}
