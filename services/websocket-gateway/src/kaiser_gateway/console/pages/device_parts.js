/** What the list of devices and a device's page share: its state, live, and the decision to let it in. */

import { path } from "../core/api.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, given } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction, useDialog } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { t } from "../core/texts.js";

/** The device as its last esp_health event has it. */
export function withHealth(device, health) {
  const event = health.get(device.esp_id);
  if (!event) return device;
  const { last_seen, wifi_rssi, heap_free, uptime, firmware_version, sensor_count, actuator_count } = event;
  const figures = given({ last_seen, wifi_rssi, heap_free, uptime, firmware_version, sensor_count, actuator_count });
  return { ...device, ...figures, online: event.status === "online" };
}

export function DeviceBadge({ device }) {
  if (device.state === "pending") return html`<${Badge} kind="warn">${t("common.pending_approval")}<//>`;
  if (device.state === "rejected") return html`<${Badge} kind="bad">${t("common.rejected_2")}<//>`;
  return device.online ? html`<${Badge} kind="good">${t("common.online")}<//>` : html`<${Badge}>${t("device_parts.offline")}<//>`;
}

/** Let a pending device in, or keep it out. */
export function Decision({ device, onDone }) {
  const { api, session, toasts } = useApp();
  const [asked, ask, close] = useDialog();
  if (device.state === "approved" || !session.may("operator")) return null;

  async function decide(decision, { replay = false } = {}) {
    const answer = await api.post(path`/api/v1/esp/devices/${device.esp_id}/` + decision + (replay ? "?replay=true" : ""));
    toasts.say(decision === "approve" ? approved(answer) : t("device_parts.is_kept_out", { device: device.esp_id }));
    close();
    onDone();
  }

  return html`
    <button type="button" onClick=${() => ask("approve")}>${t("device_parts.approve_2")}</button>
    ${device.state === "pending" && html`<button type="button" onClick=${() => ask("reject")}>${t("device_parts.reject_2")}</button>`}
    ${asked && html`<${DecisionDialog} ...${{ asked, device, decide }} onClose=${close} />`}`;
}

const approved = ({ esp_id: espId, replayed }) =>
  replayed ? t("device_parts.is_approved_of_its_messages", { device: espId, n: replayed }) : t("device_parts.is_approved", { device: espId });

function DecisionDialog({ asked, device, decide, onClose }) {
  const [run, state] = useAction((fields) => decide(asked, fields));
  const isApproval = asked === "approve";
  return html`
    <${Dialog} title=${`${isApproval ? t("device_parts.approve") : t("device_parts.reject")} ${device.esp_id}`} onClose=${onClose}>
      <${Form} onSubmit=${run} submit=${isApproval ? t("device_parts.approve") : t("device_parts.reject")} state=${state} danger=${!isApproval}>
        ${isApproval
          ? html`<${CheckField} label=${t("device_parts.also_replay_its_messages_that")} name="replay" />`
          : html`<p>${t("device_parts.its_messages_stay_rejected_it")}</p>`}
      <//>
    <//>`;
}
