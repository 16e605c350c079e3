/** Commands to an actuator: asked for, confirmed, followed to their end. */

import { path } from "../core/api.js";
import { randomId } from "../core/ids.js";
import { actuatorText } from "../core/names.js";
import { commandReason } from "../core/sentences.js";
import { Dialog } from "../ui/dialog.js";
import { Duration } from "../ui/duration.js";
import { CheckField, Form, NumberField, TextField, given } from "../ui/form.js";
import { html, useApp, useRef, useState } from "../ui/html.js";
import { useAction, useDialog, useEvents, useEvery, useLoaded } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Badge, ProblemNotice, Reason } from "../ui/parts.js";
import { t, word } from "../core/texts.js";

const COMMANDS = [["ON", t("command.on")], ["OFF", t("command.off")], ["PWM", t("command.share")], ["TOGGLE", t("command.toggle")]];
const STATE_KINDS = { acknowledged: "good", queued: "info", sent: "info", failed: "bad", expired: "warn", cancelled: "warn" };
const OPEN_STATES = new Set(["queued", "sent"]);
const ASK_AGAIN_MS = 2000;

const USUAL_S = [10, 60, 600, 3600];
const AT_FIRST_S = 60;
const LONGEST_S = 604_800;

export function CommandButtons({ actuator }) {
  const { session } = useApp();
  const [asked, ask, close] = useDialog();
  const [sent, setSent] = useState(null);
  const directory = useDirectory();
  if (!session.may("operator")) return null;
  const allowed = actuator.registered ? COMMANDS : COMMANDS.filter(([command]) => command === "OFF");
  return html`
    <span class="command-buttons">
      ${allowed.map(([command, text]) => html`
        <button type="button" key=${command} aria-label=${`${text} ${actuatorText(directory, actuator)}`} onClick=${() => ask(command)}>
          ${text}</button>`)}
    </span>
    ${sent && html`<${CommandState} key=${sent.command_id} sent=${sent} />`}
    ${asked && html`
      <${CommandDialog} ...${{ actuator, command: asked }} onSent=${setSent} onClose=${close} />`}`;
}

function CommandDialog({ actuator, command, onSent, onClose }) {
  const { api } = useApp();
  const directory = useDirectory();
  const idempotencyKey = useRef(randomId());
  const [durationS, setDuration] = useState(command === "OFF" ? null : AT_FIRST_S);
  const [send, state] = useAction(async ({ percent, ...others }) => {
    const value = percent === undefined ? null : percent / 100;
    const fields = { ...others, duration_s: durationS };
    const headers = { "Idempotency-Key": idempotencyKey.current };
    const url = path`/api/v1/actuators/${actuator.esp_id}/${actuator.gpio}/command`;
    onSent(await api.post(url, given({ command, value, ...fields }), { headers }));
    onClose();
  });
  const { problem } = state;
  return html`
    <${Dialog} title=${t("command.send", { command: word(command, "switch") })} onClose=${onClose}>
      <p>${t("common.to")} <strong>${actuatorText(directory, actuator)}</strong>${t("command.the_device_moves_something_real")}</p>
      <${Form} onSubmit=${send} submit=${t("common.send", { command: word(command, "switch") })} state=${state}>
        ${command === "PWM" && html`
          <${NumberField} label=${t("command.share_in")} name="percent" min="0" max="100" required problem=${problem}
            value=${Math.round((actuator.value ?? 0) * 100)} />`}
        ${command !== "OFF" && html`
          <${Duration} label=${t("command.for")} usual=${USUAL_S} zero=${t("common.until_further_notice")} value=${durationS} most=${LONGEST_S} required
            onChange=${setDuration} />`}
        <${TextField} label=${t("common.reason_may_be_left_empty")} name="reason" maxlength="200" problem=${problem} />
        <${CheckField} label=${t("command.if_the_device_is_offline")} name="queue" />
      <//>
    <//>`;
}

/** How a command stands; asked again until it has ended, as its event may be conflated away. */
function CommandState({ sent }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/commands/${sent.command_id}`), [sent.command_id]);
  const command = loaded.data ?? sent;
  const isOpen = OPEN_STATES.has(command.state);
  const why = commandReason(command);

  useEvents((batch) => batch.some(({ data }) => data.command_id === sent.command_id) && loaded.reloadSoon());
  useEvery(ASK_AGAIN_MS, () => isOpen && loaded.reload());

  return html`
    <p class="command-state" role="status">
      ${word(command.command, "switch")} <${Badge} kind=${STATE_KINDS[command.state]}>${word(command.state, "command")}<//>
      ${" "}${why ? html`<span class="quiet">${why}</span>` : html`<${Reason} text=${command.state_reason} />`}
    </p>
    <${ProblemNotice} problem=${loaded.problem} />`;
}
