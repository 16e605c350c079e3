/** Begins a replay of a recording, and switches the environment to one for it. */

import { duration } from "../core/format.js";
import { Dialog } from "../ui/dialog.js";
import { CheckField, Field, Form, SelectField, TextField, given } from "../ui/form.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useLoaded } from "../ui/hooks.js";
import { ListState, ProblemNotice } from "../ui/parts.js";

const ENVIRONMENT = "/api/v1/factory/environment";
const SWITCH_TIMEOUT_MS = 90_000;
export const SPEEDS = [["1", "1 ×, as recorded"], ["0.1", "0.1 ×"], ["2", "2 ×"], ["5", "5 ×"], ["20", "20 ×"], ["100", "100 ×"], ["max", "as fast as possible"]];
const SHIFTS = [["now", "as if recorded now"], ["none", "as recorded"]];

/** A speed as the API takes it. */
export const speedOf = (text) => (text === "max" ? text : Number(text));

export function ReplayDialog({ recording, onDone, onClose }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(ENVIRONMENT), []);
  const isReplay = loaded.data?.kind === "replay";
  return html`
    <${Dialog} title=${`Replay ${recording.name}`} onClose=${onClose}>
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
    <p>Replays run in an environment of kind replay, at a broker to which no machine is connected. The environment in
      force is <strong>${environment.env}</strong> (${environment.kind}); while it is left, nothing of it is received.</p>
    <${ProblemNotice} problem=${problem} />
    ${has && session.may("admin")
      ? html`<button type="button" class="primary" disabled=${isBusy} onClick=${() => run()}>Switch to replay</button>`
      : html`<p>${has ? "An administrator switches it." : "There is no broker profile named replay."}</p>`}`;
}

function Begin({ recording, env, onDone, onClose }) {
  const { api } = useApp();
  const [expectation, setExpectation] = useState(null);
  const [begin, state] = useAction(async ({ speed, filter, exclude, shift, armed, loop, paused }) => {
    const expect = expectation ? JSON.parse(await expectation.text()) : null;
    const topics = (text) => (text ? text.split(/[\s,]+/) : null);
    const body = { recording: recording.recording_id, speed: speedOf(speed), filter: topics(filter), exclude: topics(exclude), shift, armed, loop, paused, expect };
    await api.post("/api/v1/replays", given(body));
    onDone();
    onClose();
  });
  const { problem } = state;
  return html`
    <p>The environment <strong>${env}</strong> is emptied first. The recording takes
      ${` ${duration((recording.last_at - recording.first_at) / 1000)}`} at 1 ×.</p>
    <${Form} onSubmit=${begin} submit="Replay" state=${state}>
      <${SelectField} label="Speed" name="speed" options=${SPEEDS} problem=${problem} />
      <${SelectField} label="Times" name="shift" options=${SHIFTS} problem=${problem} />
      <${TextField} label="Topics (empty: all)" name="filter" placeholder="ccu/# fts/#" problem=${problem} />
      <${TextField} label="Without topics" name="exclude" placeholder="module/v1/+/NodeRed/#" problem=${problem} />
      <${CheckField} label="Repeat" name="loop" />
      <${CheckField} label="Paused at first" name="paused" />
      <${Field} label="Expected end (a JSON file; may be left empty)" name="expect" problem=${problem}>
        <input type="file" accept=".json" onChange=${({ currentTarget }) => setExpectation(currentTarget.files[0] ?? null)} />
      <//>
      <${TextField} label="Send commands too: type the name of the environment" name="armed" problem=${problem}
        hint="If this is empty, commands of the recording are left out." />
    <//>`;
}
