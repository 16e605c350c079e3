/** Begins a replay of a recording, and switches the environment to one for it. */

import { duration } from "../core/format.js";
import { Button } from "../ui/button.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Field, Form, SelectField, TextField, given, jsonOf } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { ListState, ProblemNotice } from "../ui/parts.js";
import { t, tx, word } from "../core/texts.js";

const ENVIRONMENT = "/api/v1/factory/environment";
const SWITCH_TIMEOUT_MS = 90_000;
export const SPEEDS = [["1", t("replay_dialog.1_as_recorded")], ["0.1", "0.1 ×"], ["2", "2 ×"], ["5", "5 ×"], ["20", "20 ×"], ["100", "100 ×"], ["max", t("replay_dialog.as_fast_as_possible")]];
const SHIFTS = [["now", t("replay_dialog.as_if_recorded_now")], ["none", t("replay_dialog.as_recorded")]];

/** A speed as the API takes it. */
export const speedOf = (text) => (text === "max" ? text : Number(text));

export function ReplayDialog({ recording, onDone, onClose }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(ENVIRONMENT), []);
  const isReplay = loaded.data?.kind === "replay";
  return html`
    <${Dialog} title=${t("common.replay", { name: recording.name })} onClose=${onClose}>
      <${ListState} loaded=${loaded} count=${1} />
      ${loaded.data && !isReplay && html`<${Switch} environment=${loaded.data} reload=${loaded.reload} />`}
      ${isReplay && html`<${Begin} recording=${recording} env=${loaded.data.env} onDone=${onDone} onClose=${onClose} />`}
    <//>`;
}

function Switch({ environment, reload }) {
  const { api, session } = useApp();
  const [run, { problem, isBusy }] = useAction(async () => {
    await api.post(ENVIRONMENT, { profile: "replay" }, { timeoutMs: SWITCH_TIMEOUT_MS });
    await reload();
  });
  const has = environment.profiles.includes("replay");
  return html`
    <p>${t("replay_dialog.replays_run_in_an_environment")} <strong>${environment.env}</strong> ${tx("replay_dialog.while_it_is_left_nothing", { kind: word(environment.kind, "environment") })}</p>
    <${ProblemNotice} problem=${problem} />
    ${has && session.may("admin")
      ? html`<${Button} class="primary" isBusy=${isBusy} onClick=${() => run()}>${t("replay_dialog.switch_to_replay")}<//>`
      : html`<p>${has ? t("replay_dialog.an_administrator_switches_it") : t("replay_dialog.there_is_no_broker_profile")}</p>`}`;
}

function Begin({ recording, env, onDone, onClose }) {
  const { api } = useApp();
  const [expectation, setExpectation] = useState(null);
  const [begin, state] = useAction(async ({ speed, filter, exclude, shift, armed, loop, paused }) => {
    const expect = expectation ? jsonOf(await expectation.text(), "expect") : null;
    const topics = (text) => (text ? text.split(/[\s,]+/) : null);
    const body = { recording: recording.recording_id, speed: speedOf(speed), filter: topics(filter), exclude: topics(exclude), shift, armed, loop, paused, expect };
    await api.post("/api/v1/replays", given(body));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <p>${t("replay_dialog.the_environment")} <strong>${env}</strong> ${tx("replay_dialog.is_emptied_first_the_recording", { it: ` ${duration((recording.last_at - recording.first_at) / 1000)}` })}</p>
    <${Form} onSubmit=${begin} submit=${t("replay_dialog.replay")} state=${state}>
      <${SelectField} label=${t("common.speed")} name="speed" options=${SPEEDS} problem=${problem} />
      <${SelectField} label=${t("replay_dialog.times")} name="shift" options=${SHIFTS} problem=${problem} />
      <${TextField} label=${t("replay_dialog.topics_empty_all")} name="filter" placeholder="ccu/# fts/#" problem=${problem} />
      <${TextField} label=${t("replay_dialog.without_topics")} name="exclude" placeholder="module/v1/+/NodeRed/#" problem=${problem} />
      <${CheckField} label=${t("replay_dialog.repeat")} name="loop" />
      <${CheckField} label=${t("replay_dialog.paused_at_first")} name="paused" />
      <${Field} label=${t("replay_dialog.expected_end_a_json_file")} name="expect" problem=${problem}>
        <input type="file" accept=".json" onChange=${({ currentTarget }) => setExpectation(currentTarget.files[0] ?? null)} />
      <//>
      <${TextField} label=${t("replay_dialog.send_commands_too_type_the")} name="armed" problem=${problem}
        hint=${t("replay_dialog.if_this_is_empty_commands")} />
    <//>`;
}
