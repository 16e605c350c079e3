/** The emergency stop: always at hand, what is stopped now, and its clearing. */

import { filterParts } from "../core/list_filters.js";
import { noteText } from "../core/sentences.js";
import { dateTime } from "../core/times.js";
import { actuatorText, deviceName } from "../core/names.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { Form, TextField, given } from "../ui/form.js";
import { html, useApp, useEffect } from "../ui/html.js";
import { link } from "../ui/route.js";
import { useAction, useDialog, useEvery, useStore } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { ProblemNotice } from "../ui/parts.js";
import { t, tx } from "../core/texts.js";

const ASK_EVERY_MS = 15_000;
const CLEAR_TIMEOUT_MS = 30_000;
const NAMED = 10; // devices that the dialog names

/** A function that names what a stop is of. */
function useTargetText() {
  const directory = useDirectory();
  return ({ esp_id: espId, gpio }) => {
    if (!espId) return t("emergency.everything");
    const isDevice = gpio === null || gpio === undefined;
    return isDevice ? t("emergency.device", { it: deviceName(directory, espId) }) : actuatorText(directory, { esp_id: espId, gpio });
  };
}

const standOf = ({ clearing, not_cleared: notCleared }) =>
  clearing ? t("emergency.is_clearing_it", { by: clearing.by }) : notCleared ? t("emergency.not_cleared", { notCleared }) : "";

/** Stops everything; `target` {esp_id, gpio} narrows it. */
export function StopButton({ target = {}, label = t("emergency.emergency_stop_2") }) {
  const { session } = useApp();
  const [isOpen, open, close] = useDialog();
  if (!session.may("operator")) return null;
  return html`
    <button type="button" class="stop" onClick=${() => open()}>${label}</button>
    ${isOpen && html`<${StopDialog} target=${target} onClose=${close} />`}`;
}

function StopDialog({ target, onClose }) {
  const { api, emergencies, toasts } = useApp();
  const textOf = useTargetText();
  const [stop, state] = useAction(async ({ reason }) => {
    await api.post("/api/v1/actuators/emergency_stop", given({ ...target, reason }));
    toasts.say(t("emergency.stopped_2", { target: textOf(target) }), "bad");
    emergencies.reload();
    onClose();
  });
  return html`
    <${Dialog} title=${t("emergency.emergency_stop")} onClose=${onClose}>
      <p>${t("emergency.this_switches_off")} <strong>${textOf(target)}</strong> ${t("emergency.and_cancels_open_commands_nothing")}</p>
      <${Form} onSubmit=${stop} submit=${t("emergency.stop_now", { target: textOf(target) })} state=${state} danger>
        <${TextField} label=${t("common.reason_may_be_left_empty")} name="reason" maxlength="200" />
      <//>
    <//>`;
}

/** Says on every page what is stopped. */
export function EmergencyBar() {
  const { session, emergencies } = useApp();
  const [clearing, clear, endClearing] = useDialog();
  const [unconfirmed, clearUnconfirmed, endClearingUnconfirmed] = useDialog();
  const [askForUnconfirmed, asked] = useAction(async () => {
    const stops = await emergencies.unconfirmed();
    if (stops.length > 0) clearUnconfirmed(stops);
    else await emergencies.reload(); // by now each is cleared, or a clear of it is under way
  });
  const textOf = useTargetText();
  const inForce = useStore(emergencies.current);
  const others = useStore(emergencies.total) - inForce.length;
  const areUnconfirmed = useStore(emergencies.notConfirmed) > 0; // also stops that are not shown here
  useEvery(ASK_EVERY_MS, emergencies.reload);
  useEffect(() => {
    emergencies.reload();
  }, []);
  if (inForce.length === 0) return null;
  const isEverything = inForce.some(({ esp_id: espId }) => !espId); // then that stop is the one to clear
  return html`
    <section class="emergency-bar" aria-label=${t("emergency.emergency_stops_in_force")}>
      <ul>
        ${!isEverything && areUnconfirmed && session.may("operator") && html`
          <li>
            <${Button} isBusy=${asked.isBusy} onClick=${() => askForUnconfirmed()}>${t("emergency.clear_unconfirmed")}<//>
            <${ProblemNotice} problem=${asked.problem} />
          </li>`}
        ${inForce.map((emergency) => html`
          <li key=${emergency.emergency_id}>
            <span><strong>${tx("emergency.stopped", { emergency: textOf(emergency) })}</strong> – ${`${noteText(emergency.reason)} (${emergency.raised_by},`}
              ${` ${dateTime(emergency.raised_at)})`}${standOf(emergency)}</span>
            ${session.may("operator") && html`
              <button type="button" aria-label=${t("emergency.clear_2", { emergency: textOf(emergency) })} onClick=${() => clear(emergency)}>
                ${t("emergency.clear")}</button>`}
          </li>`)}
        ${others > 0 && html`<li><a href=${link("alarms", ...filterParts({ kind: "stop_in_force" }))}>${t("emergency.others", { n: others })}</a></li>`}
      </ul>
      ${clearing && html`
        <${ClearDialog} emergency=${clearing} onClose=${endClearing} />`}
      ${unconfirmed && html`
        <${ClearUnconfirmedDialog} stops=${unconfirmed} onClose=${endClearingUnconfirmed} />`}
    </section>`;
}

function ClearDialog({ emergency, onClose }) {
  const { api, emergencies, toasts } = useApp();
  const { esp_id, gpio } = emergency;
  const textOf = useTargetText();
  const [clear, state] = useAction(async ({ reason }) => {
    const target = esp_id ? { esp_id, gpio } : { all: true };
    const body = given({ ...target, ids: [emergency.emergency_id], reason });
    await api.post("/api/v1/actuators/clear_emergency", body, { timeoutMs: CLEAR_TIMEOUT_MS });
    toasts.say(t("emergency.cleared", { emergency: textOf(emergency) }));
    emergencies.reload();
    onClose();
  });
  return html`
    <${Dialog} title=${t("emergency.clear_the_emergency_stop")} onClose=${onClose}>
      <p>${t("emergency.commands_to")} <strong>${textOf(emergency)}</strong> ${t("emergency.are_allowed_again_once_each")}</p>
      <${Form} onSubmit=${clear} submit=${t("emergency.clear_the_stop")} state=${state}>
        <${TextField} label=${t("common.reason_may_be_left_empty")} name="reason" maxlength="200" />
      <//>
    <//>`;
}

/** Clears these stops, of devices that had not confirmed their last clear when the person asked, and no other. */
function ClearUnconfirmedDialog({ stops, onClose }) {
  const { api, emergencies, toasts } = useApp();
  const textOf = useTargetText();
  const n = stops.length;
  const [clear, state] = useAction(async ({ reason }) => {
    const body = given({ all: true, unconfirmed: true, ids: stops.map((stop) => stop.emergency_id), reason });
    try {
      await api.post("/api/v1/actuators/clear_emergency", body, { timeoutMs: CLEAR_TIMEOUT_MS });
    } finally {
      emergencies.reload(); // some may be cleared though others are not
    }
    toasts.say(t("emergency.cleared", { emergency: t("emergency.devices", { n }) }));
    onClose();
  });
  return html`
    <${Dialog} title=${t("emergency.clear_what_was_not_confirmed")} onClose=${onClose}>
      <p>${t("emergency.commands_to")} <strong>${t("emergency.devices", { n })}</strong> ${t("emergency.are_allowed_again_once_each")}</p>
      <ul>
        ${stops.slice(0, NAMED).map((stop) => html`<li key=${stop.emergency_id}>${textOf(stop)}</li>`)}
        ${n > NAMED && html`<li>${t("emergency.and_more", { n: n - NAMED })}</li>`}
      </ul>
      <${Form} onSubmit=${clear} submit=${t("emergency.clear_the_stops", { n })} state=${state}>
        <${TextField} label=${t("common.reason_may_be_left_empty")} name="reason" maxlength="200" />
      <//>
    <//>`;
}
