/** Notifications: the channels to people, the routes that say which alarm goes where, and what was sent. */

import { path } from "../core/api.js";
import { ago } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { Form } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvents, useLoaded, useNow } from "../ui/hooks.js";
import { Badge, Head, ListState, Panel } from "../ui/parts.js";
import { Table } from "../ui/table.js";
import { ChannelDialog } from "./channel_dialog.js";
import { RouteDialog, inWords } from "./route_dialog.js";
import { when } from "../ui/time.js";

const PATH = "/api/v1/notifications";
const RECENT = 20;
const RESULTS = { sent: "good", waiting: "info", failed: "bad", dropped: "idle" };

export function NotificationsPage() {
  const { api, session } = useApp();
  const [open, setOpen] = useState(null);
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
  const all = channels.data?.channels ?? [];
  const ways = routes.data?.routes ?? [];
  const reload = () => [channels, routes, sent].forEach((each) => each.reload());
  const close = () => setOpen(null);
  const done = () => { close(); reload(); };
  return html`
    <${Head} title="Notifications">
      ${may && html`<button type="button" class="primary" onClick=${() => setOpen({ Kind: ChannelDialog, shown: null })}>Add a channel</button>
        <button type="button" disabled=${!all.length} onClick=${() => setOpen({ Kind: RouteDialog, shown: null })}>Add a route</button>`}
    <//>
    ${channels.data && !isReached(all, ways) && routes.data && html`
      <p class="notice notice-warn">No route leads to an enabled channel: alarms are shown only in the console.</p>`}
    <${Panel} title="Channels">
      <${ListState} loaded=${channels} count=${all.length} empty="There is no channel. A channel is a way to reach people: e-mail, a phone, a chat, a webhook." />
      <${Table} label="Channels" rows=${all} keyOf=${({ channel_id: id }) => id}
        columns=${channelColumns({ now, may, reload: channels.reload, choose: (shown) => setOpen({ Kind: ChannelDialog, shown }), remove: (shown) => setOpen({ Kind: RemoveChannel, shown }) })} />
    <//>
    <${Panel} title="Routes">
      <${ListState} loaded=${routes} count=${ways.length} empty="There is no route. A route says which alarms go to which channels, and when." />
      <${Table} label="Routes" rows=${ways} keyOf=${({ route_id: id }) => id}
        columns=${routeColumns({ may, choose: (shown) => setOpen({ Kind: RouteDialog, shown }), remove: (shown) => setOpen({ Kind: RemoveRoute, shown }) })} />
    <//>
    <${Panel} title="The newest notifications">
      <${ListState} loaded=${sent} count=${sent.data?.items.length ?? 0} empty="Nothing was sent yet." />
      <${Table} label="Notifications, newest first" rows=${sent.data?.items ?? []} keyOf=${({ key }) => key} columns=${sentColumns(now)} />
    <//>
    ${open && html`<${open.Kind} shown=${open.shown} channels=${all} onDone=${done} onClose=${close} />`}`;
}

/** Whether at least one enabled route names an enabled channel. */
const isReached = (channels, routes) => {
  const enabled = new Set(channels.filter((one) => one.enabled).map((one) => one.channel_id));
  return routes.some((route) => route.enabled && route.channels.some((id) => enabled.has(id)));
};

const channelColumns = ({ now, may, reload, choose, remove }) => [
  { name: "Channel", cell: (one) => html`${one.name}<span class="quiet block">${one.channel_id}, ${one.kind}</span>` },
  { name: "State", cell: (one) => html`<${ChannelState} channel=${one} now=${now} />` },
  {
    name: "Do",
    class: "actions",
    cell: (one) => may && html`
      <${TestButton} channel=${one} onDone=${reload} />
      <button type="button" aria-label=${`Edit ${one.name}`} onClick=${() => choose(one)}>Edit…</button>
      <button type="button" class="danger-outline" aria-label=${`Remove ${one.name}`} onClick=${() => remove(one)}>Remove…</button>`,
  },
];

function ChannelState({ channel, now }) {
  const { enabled, last_sent_at: sent, last_failed_at: failed, last_error: error } = channel;
  if (!enabled) return html`<${Badge}>disabled<//>`;
  if (failed && failed > (sent ?? 0)) {
    return html`<${Badge} kind="bad">failed<//><span class="quiet block">${ago(failed, now)}: ${error}</span>`;
  }
  if (sent) return html`<${Badge} kind="good">works<//><span class="quiet block">sent ${ago(sent, now)}</span>`;
  return html`<${Badge} kind="info">not used yet<//>`;
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
    <button type="button" disabled=${isBusy} aria-label=${`Test ${channel.name}`} onClick=${() => test()}>Test</button>
    <span class="block" role="status">
      ${isBusy && html`<span class="quiet">sending…</span>`}
      ${result && !isBusy && html`
        <${Badge} kind=${result.is_sent ? "good" : "bad"}>${result.is_sent ? "the test was sent" : "the test failed"}<//>
        ${result.error && html` <span class="quiet">${result.error}</span>`}`}
      ${problem && !isBusy && html`<span class="field-problem">${problem.message}</span>`}
    </span>`;
}

const routeColumns = ({ may, choose, remove }) => [
  {
    name: "Route",
    cell: (route) => html`${route.route_id}${!route.enabled && html` <${Badge}>disabled<//>`}
      <span class="quiet block">to ${route.channels.join(", ")}</span>`,
  },
  { name: "Alarms", cell: (route) => html`${route.severities.join(", ")}<span class="quiet block">${route.zones.length ? `zones ${route.zones.join(", ")}` : "every zone"}</span>` },
  { name: "When", cell: (route) => inWords(route).map((line) => html`<span class="block" key=${line}>${line}</span>`) },
  {
    name: "Do",
    class: "actions",
    cell: (route) => may && html`
      <button type="button" aria-label=${`Edit route ${route.route_id}`} onClick=${() => choose(route)}>Edit…</button>
      <button type="button" class="danger-outline" aria-label=${`Remove route ${route.route_id}`} onClick=${() => remove(route)}>Remove…</button>`,
  },
];

const sentColumns = (now) => [
  { name: "Channel", cell: (one) => one.channel_id },
  { name: "Result", cell: (one) => html`<${Badge} kind=${RESULTS[one.state]}>${one.state}<//>${one.error && html`<span class="quiet block">${one.error}</span>`}` },
  { name: "Created", cell: (one) => html`${when(one.created_at)}<span class="quiet block">${ago(one.created_at, now)}</span>` },
  { name: "Reference", cell: (one) => html`<span class="quiet">${one.key}</span>` },
];

const RemoveChannel = ({ shown, onDone, onClose }) => html`
  <${RemoveDialog} name=${shown.name} url=${path`/api/v1/notifications/channels/${shown.channel_id}`}
    ...${{ onDone, onClose }}>Its URL is deleted. A channel that a route names cannot be removed.<//>`;

const RemoveRoute = ({ shown, onDone, onClose }) => html`
  <${RemoveDialog} name=${`route ${shown.route_id}`} url=${path`/api/v1/notifications/routes/${shown.route_id}`}
    ...${{ onDone, onClose }}>It will send no more alarms.<//>`;

function RemoveDialog({ name, url, children, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [remove, state] = useAction(async () => {
    await api.delete(url);
    toasts.say(`${name} is removed.`);
    onDone();
  });
  return html`
    <${Dialog} title=${`Remove ${name}?`} onClose=${onClose}>
      <${Form} onSubmit=${remove} submit="Remove" state=${state} danger><p>${children}</p><//>
    <//>`;
}
