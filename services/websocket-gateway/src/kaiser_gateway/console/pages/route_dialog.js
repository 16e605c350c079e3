/** The dialog of a route, and a route's times in words. */

import { path } from "../core/api.js";
import { Chips, DAYS } from "../ui/chips.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { zoneName } from "../core/times.js";

const SEVERITIES = ["critical", "warning", "info"].map((each) => [each, each]);

/** `shown`: the route to change, null for a new one; `channels`: all that there are. */
export function RouteDialog({ shown, channels, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [to, setTo] = useState(shown?.channels ?? channels.slice(0, 1).map((one) => one.channel_id));
  const [severities, setSeverities] = useState(shown?.severities ?? ["critical", "warning"]);
  const [days, setDays] = useState(shown?.days_of_week ?? []);
  const [save, state] = useAction(async ({ route_id: id, zones, repeat_s: repeat, after_s: after, time_zone: zone, ...fields }) => {
    const saved = await api.put(path`/api/v1/notifications/routes/${shown?.route_id ?? id}`, {
      ...fields,
      channels: to,
      severities,
      days_of_week: days,
      zones: (zones ?? "").split(",").map((each) => each.trim()).filter(Boolean),
      repeat_s: repeat ?? 0,
      after_s: after ?? 0,
      time_zone: zone ?? "UTC",
    });
    toasts.say(`Route ${saved.route_id} is saved.`);
    onDone();
  });
  // The server names pairs of fields ("quiet_from, quiet_to"): both are marked.
  const problem = state.problem && { ...state.problem, message: state.problem.message, field: (state.problem.field ?? "").replaceAll(", ", ".") };
  const wrong = (name) => (problem?.field.split(".").includes(name) ? problem.message : null);
  const clock = (label, name) => html`
    <${TextField} label=${label} name=${name} type="time" value=${shown?.[name] ?? ""} problem=${problem} />`;
  return html`
    <${Dialog} title=${shown ? `Route ${shown.route_id}` : "New route"} onClose=${onClose} wide>
      <${Form} onSubmit=${save} submit="Save" state=${state}>
        ${!shown && html`
          <${TextField} label="Id" name="route_id" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*"
            hint="lower-case letters, digits, - and _; such as night" problem=${problem} />`}
        <${Chips} legend="To" options=${channels.map((one) => [one.channel_id, one.name])} chosen=${to} onChange=${setTo}
          problem=${wrong("channels")} />
        <${Chips} legend="Alarms of severity" options=${SEVERITIES} chosen=${severities} onChange=${setSeverities}
          problem=${wrong("severities")} />
        <${TextField} label="Zones, separated by commas (empty: every zone)" name="zones" value=${(shown?.zones ?? []).join(", ")}
          problem=${problem} />
        <div class="field-grid">
          <${NumberField} label="Only after … s without acknowledgement" name="after_s" min="0" max="604800" step="1"
            value=${shown?.after_s ?? 0} problem=${problem} hint="more than 0: an escalation" />
          <${NumberField} label="Again every … s until acknowledged" name="repeat_s" min="0" max="604800" step="1"
            value=${shown?.repeat_s ?? 0} problem=${problem} hint="0: once; at least 60" />
        </div>
        <div class="field-grid">
          ${clock("Works from (empty: the whole day)", "active_from")} ${clock("Works until", "active_to")}
          ${clock("Quiet from (empty: never)", "quiet_from")} ${clock("Quiet until", "quiet_to")}
          <${TextField} label="Time zone" name="time_zone" required value=${shown?.time_zone ?? zoneName()} problem=${problem} />
        </div>
        <${Chips} legend="On days (none chosen: every day)" options=${DAYS} chosen=${days} onChange=${setDays} />
        <${CheckField} label="Enabled" name="enabled" checked=${shown?.enabled ?? true} />
      <//>
    <//>`;
}

/** When a route sends, in lines. */
export function inWords(route) {
  const { active_from: from, active_to: to, quiet_from: quiet, quiet_to: end, days_of_week: days } = route;
  const zone = ` (${route.time_zone})`;
  return [
    from ? `from ${from} to ${to}${zone}` : "at any time",
    days.length ? `on ${days.map((day) => DAYS[day][1]).join(", ")}` : null,
    quiet ? `quiet from ${quiet} to ${end}${zone}` : null,
    route.after_s ? `after ${route.after_s} s without acknowledgement` : null,
    route.repeat_s ? `again every ${route.repeat_s} s` : null,
  ].filter(Boolean);
}
