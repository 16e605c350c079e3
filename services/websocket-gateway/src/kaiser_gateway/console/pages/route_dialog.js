/** The dialog of a route, and a route's times in words. */

import { path } from "../core/api.js";
import { durationText } from "../core/durations.js";
import { nameOfZone } from "../core/names.js";
import { Chips, DAYS } from "../ui/chips.js";
import { Dialog } from "../ui/dialog.js";
import { DurationField } from "../ui/duration.js";
import { CheckField, Form, TextField } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { zoneName } from "../core/times.js";
import { t, word } from "../core/texts.js";

const USUAL_S = [300, 900, 3600];
const SEVERITIES = ["critical", "warning", "info"].map((each) => [each, word(each)]);

/** `shown`: the route to change, null for a new one; `channels`: all that there are. */
export function RouteDialog({ shown, channels, onDone, onClose }) {
  const { api, toasts } = useApp();
  const [to, setTo] = useState(shown?.channels ?? channels.slice(0, 1).map((one) => one.channel_id));
  const [severities, setSeverities] = useState(shown?.severities ?? ["critical", "warning"]);
  const [zones, setZones] = useState(shown?.zones ?? []);
  const directory = useDirectory();
  const known = [...new Set([...directory.zones.map((zone) => zone.zone_id), ...(shown?.zones ?? [])])]
    .map((id) => [id, nameOfZone(directory, id)]);
  const [days, setDays] = useState(shown?.days_of_week ?? []);
  const [save, state] = useAction(async ({ route_id: id, repeat_s: repeat, after_s: after, time_zone: zone, ...fields }) => {
    const saved = await api.put(path`/api/v1/notifications/routes/${shown?.route_id ?? id}`, {
      ...fields,
      channels: to,
      severities,
      days_of_week: days,
      zones,
      repeat_s: repeat ?? 0,
      after_s: after ?? 0,
      time_zone: zone ?? "UTC",
    });
    toasts.say(t("route_dialog.route_is_saved", { route_id: saved.route_id }));
    onDone();
  });
  // The server names pairs of fields ("quiet_from, quiet_to"): both are marked.
  const problem = state.problem && { ...state.problem, message: state.problem.message, field: (state.problem.field ?? "").replaceAll(", ", ".") };
  const wrong = (name) => (problem?.field.split(".").includes(name) ? problem.message : null);
  const clock = (label, name) => html`
    <${TextField} label=${label} name=${name} type="time" value=${shown?.[name] ?? ""} problem=${problem} />`;
  return html`
    <${Dialog} title=${shown ? t("route_dialog.route", { route_id: shown.route_id }) : t("route_dialog.new_route")} onClose=${onClose} wide>
      <${Form} onSubmit=${save} submit=${t("common.save")} state=${state}>
        ${!shown && html`
          <${TextField} label=${t("common.id")} name="route_id" required maxlength="32" pattern="[a-z0-9][a-z0-9_\\-]*"
            hint=${t("route_dialog.lower_case_letters_digits_and")} problem=${problem} />`}
        <${Chips} legend=${t("route_dialog.to")} options=${channels.map((one) => [one.channel_id, one.name])} chosen=${to} onChange=${setTo}
          problem=${wrong("channels")} />
        <${Chips} legend=${t("route_dialog.alarms_of_severity")} options=${SEVERITIES} chosen=${severities} onChange=${setSeverities}
          problem=${wrong("severities")} />
        ${known.length > 0 && html`
          <${Chips} legend=${t("route_dialog.of_zones")} options=${known} chosen=${zones} onChange=${setZones} problem=${wrong("zones")} />`}
        <div class="field-grid">
          <${DurationField} label=${t("route_dialog.not_acknowledged_for")} name="after_s" usual=${USUAL_S} zero=${t("rule_fields.no_time")} most=${604_800}
            value=${shown?.after_s ?? 0} problem=${problem} hint=${t("route_dialog.with_a_time_an_escalation")} />
          <${DurationField} label=${t("route_dialog.until_acknowledged_every")} name="repeat_s" usual=${USUAL_S} zero=${t("route_dialog.once")} most=${604_800}
            value=${shown?.repeat_s ?? 0} problem=${problem} hint=${t("route_dialog.at_least_1_min")} />
        </div>
        <div class="field-grid">
          ${clock(t("route_dialog.works_from_empty_the_whole"), "active_from")} ${clock(t("route_dialog.works_until"), "active_to")}
          ${clock(t("route_dialog.quiet_from_empty_never"), "quiet_from")} ${clock(t("route_dialog.quiet_until"), "quiet_to")}
          <${TextField} label=${t("common.time_zone")} name="time_zone" required value=${shown?.time_zone ?? zoneName()} problem=${problem} />
        </div>
        <${Chips} legend=${t("route_dialog.on_days")} options=${DAYS} chosen=${days} onChange=${setDays} />
        <${CheckField} label=${t("common.enabled")} name="enabled" checked=${shown?.enabled ?? true} />
      <//>
    <//>`;
}

/** When a route sends, in lines. */
export function inWords(route) {
  const { active_from: from, active_to: to, quiet_from: quiet, quiet_to: end, days_of_week: days } = route;
  const zone = ` (${route.time_zone})`;
  return [
    from ? t("route_dialog.from_to", { from, to, zone }) : t("route_dialog.at_any_time"),
    days.length ? t("route_dialog.on", { it: days.map((day) => DAYS[day][1]).join(", ") }) : null,
    quiet ? t("route_dialog.quiet_from_to", { quiet, end, zone }) : null,
    route.after_s ? t("route_dialog.after_without_acknowledgement", { after: durationText(route.after_s) }) : null,
    route.repeat_s ? t("route_dialog.again_every", { every: durationText(route.repeat_s) }) : null,
  ].filter(Boolean);
}
