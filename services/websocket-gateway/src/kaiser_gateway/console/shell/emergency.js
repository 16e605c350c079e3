/** The emergency stop: always at hand, what is stopped now, and its clearing. */

import { dateTime } from "../core/times.js";
import { actuatorText, deviceName } from "../core/names.js";
import { Dialog } from "../ui/dialog.js";
import { Form, TextField, given } from "../ui/form.js";
import { html, useApp, useEffect, useState } from "../ui/html.js";
import { useAction, useEvery, useStore } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";

const ASK_EVERY_MS = 15_000;
const CLEAR_TIMEOUT_MS = 30_000;

/** A function that names what a stop is of. */
function useTargetText() {
  const directory = useDirectory();
  return ({ esp_id: espId, gpio }) => {
    if (!espId) return "everything";
    const isDevice = gpio === null || gpio === undefined;
    return isDevice ? `device ${deviceName(directory, espId)}` : actuatorText(directory, { esp_id: espId, gpio });
  };
}

const standOf = ({ clearing, not_cleared: notCleared }) =>
  clearing ? ` – ${clearing.by} is clearing it` : notCleared ? ` – not cleared: ${notCleared}` : "";

/** Stops everything; `target` {esp_id, gpio} narrows it. */
export function StopButton({ target = {}, label = "EMERGENCY STOP" }) {
  const { session } = useApp();
  const [isOpen, setOpen] = useState(false);
  if (!session.may("operator")) return null;
  const close = () => setOpen(false);
  return html`
    <button type="button" class="stop" onClick=${() => setOpen(true)}>${label}</button>
    ${isOpen && html`<${StopDialog} target=${target} onClose=${close} />`}`;
}

function StopDialog({ target, onClose }) {
  const { api, emergencies, toasts } = useApp();
  const textOf = useTargetText();
  const [stop, state] = useAction(async ({ reason }) => {
    await api.post("/api/v1/actuators/emergency_stop", given({ ...target, reason }));
    toasts.say(`Stopped: ${textOf(target)}.`, "bad");
    emergencies.reload();
    onClose();
  });
  return html`
    <${Dialog} title="Emergency stop" onClose=${onClose}>
      <p>This switches off <strong>${textOf(target)}</strong> and cancels open commands. Nothing can be switched on until
        the stop is cleared.</p>
      <${Form} onSubmit=${stop} submit=${`Stop ${textOf(target)} now`} state=${state} danger>
        <${TextField} label="Reason (may be left empty)" name="reason" maxlength="200" />
      <//>
    <//>`;
}

/** Says on every page what is stopped. */
export function EmergencyBar() {
  const { session, emergencies } = useApp();
  const [clearing, setClearing] = useState(null);
  const textOf = useTargetText();
  const inForce = useStore(emergencies.current);
  useEvery(ASK_EVERY_MS, emergencies.reload);
  useEffect(() => {
    emergencies.reload();
  }, []);
  if (inForce.length === 0) return null;
  return html`
    <section class="emergency-bar" aria-label="Emergency stops in force">
      <ul>
        ${inForce.map((emergency) => html`
          <li key=${emergency.emergency_id}>
            <span><strong>STOPPED: ${textOf(emergency)}</strong> – ${`${emergency.reason} (${emergency.raised_by},`}
              ${` ${dateTime(emergency.raised_at)})`}${standOf(emergency)}</span>
            ${session.may("operator") && html`
              <button type="button" aria-label=${`Clear… ${textOf(emergency)}`} onClick=${() => setClearing(emergency)}>
                Clear…</button>`}
          </li>`)}
      </ul>
      ${clearing && html`
        <${ClearDialog} emergency=${clearing} onClose=${() => setClearing(null)} />`}
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
    toasts.say(`Cleared: ${textOf(emergency)}.`);
    emergencies.reload();
    onClose();
  });
  return html`
    <${Dialog} title="Clear the emergency stop" onClose=${onClose}>
      <p>Commands to <strong>${textOf(emergency)}</strong> are allowed again once each device has confirmed it, which
        may take 20 s. Nothing is switched on by this.</p>
      <${Form} onSubmit=${clear} submit="Clear the stop" state=${state}>
        <${TextField} label="Reason (may be left empty)" name="reason" maxlength="200" />
      <//>
    <//>`;
}
