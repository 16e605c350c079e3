/** Commands to an actuator: asked for, confirmed, followed to their end. */

import { path } from "../core/api.js";
import { randomId } from "../core/ids.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Form, NumberField, TextField, given } from "../ui/form.js";
import { html, useApp, useEffect, useRef, useState } from "../ui/html.js";
import { useAction, useEvents, useLoaded } from "../ui/hooks.js";
import { Badge, ProblemNotice } from "../ui/parts.js";

const COMMANDS = [["ON", "On…"], ["OFF", "Off…"], ["PWM", "Share…"], ["TOGGLE", "Toggle…"]];
const STATE_KINDS = { acknowledged: "good", queued: "info", sent: "info", failed: "bad", expired: "warn", cancelled: "warn" };
const OPEN_STATES = new Set(["queued", "sent"]);
const ASK_AGAIN_MS = 2000;

const nameOf = ({ name, actuator_type: type, gpio, esp_id: espId }) => `${name ?? type} (${espId}, gpio ${gpio})`;

export function CommandButtons({ actuator }) {
  const { session } = useApp();
  const [asked, setAsked] = useState(null);
  const [sent, setSent] = useState(null);
  if (!session.may("operator")) return null;
  const allowed = actuator.registered ? COMMANDS : COMMANDS.filter(([command]) => command === "OFF");
  return html`
    <span class="command-buttons">
      ${allowed.map(([command, text]) => html`
        <button type="button" key=${command} aria-label=${`${text} ${nameOf(actuator)}`} onClick=${() => setAsked(command)}>
          ${text}</button>`)}
    </span>
    ${sent && html`<${CommandState} key=${sent.command_id} sent=${sent} />`}
    ${asked && html`
      <${CommandDialog} ...${{ actuator, command: asked }} onSent=${setSent} onClose=${() => setAsked(null)} />`}`;
}

function CommandDialog({ actuator, command, onSent, onClose }) {
  const { api } = useApp();
  const idempotencyKey = useRef(randomId());
  const [send, state] = useAction(async ({ percent, ...fields }) => {
    const value = percent === undefined ? null : percent / 100;
    const headers = { "Idempotency-Key": idempotencyKey.current };
    const url = path`/api/v1/actuators/${actuator.esp_id}/${actuator.gpio}/command`;
    onSent(await api.post(url, given({ command, value, ...fields }), { headers }));
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${`Send ${command}?`} onClose=${onClose}>
      <p>To <strong>${nameOf(actuator)}</strong>. The device moves something real.</p>
      <${Form} onSubmit=${send} submit=${`Send ${command}`} state=${state}>
        ${command === "PWM" && html`
          <${NumberField} label="Share in %" name="percent" min="0" max="100" required problem=${problem}
            value=${Math.round((actuator.value ?? 0) * 100)} />`}
        ${command !== "OFF" && html`
          <${NumberField} label="For how many s (0: until further notice)" name="duration_s" min="0" max="604800" step="1"
            value="0" problem=${problem} />`}
        <${TextField} label="Reason (may be left empty)" name="reason" maxlength="200" problem=${problem} />
        <${CheckField} label="If the device is offline, keep the command for it, an hour at most" name="queue" />
      <//>
    <//>`;
}

/** How a command stands; asked again until it has ended, as its event may be conflated away. */
function CommandState({ sent }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/commands/${sent.command_id}`), [sent.command_id]);
  const command = loaded.data ?? sent;
  const isOpen = OPEN_STATES.has(command.state);

  useEvents((batch) => batch.some(({ data }) => data.command_id === sent.command_id) && loaded.reloadSoon());
  useEffect(() => {
    if (!isOpen) return undefined;
    const timer = setInterval(loaded.reload, ASK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [isOpen]);

  return html`
    <p class="command-state" role="status">
      ${command.command} <${Badge} kind=${STATE_KINDS[command.state]}>${command.state}<//>
      ${command.state_reason && html` <span class="quiet">${command.state_reason}</span>`}
    </p>
    <${ProblemNotice} problem=${loaded.problem} />`;
}
