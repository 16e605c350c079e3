/** The newest replay: how far it is, and its controls. */

import { path } from "../core/api.js";
import { duration, number } from "../core/format.js";
import { Button } from "../ui/button.js";
import { html, useApp, useState } from "../ui/html.js";
import { useAction, useEvents, useEvery } from "../ui/hooks.js";
import { Badge, Facts, Panel, ProblemNotice, Reason } from "../ui/parts.js";
import { SPEEDS, speedOf } from "./replay_dialog.js";
import { when } from "../ui/time.js";
import { t, tx, word } from "../core/texts.js";

const ASK_EVERY_MS = 3000;
const KINDS = { running: "info", paused: "warn", checking: "info", done: "good", stopped: "idle", failed: "bad" };
const STEP_MS = 1000;

const seconds = (ms) => duration(ms / 1000);

export function ReplayPanel({ replay: first, name }) {
  const { api, session } = useApp();
  const [replay, setReplay] = useState(first);
  const isOpen = !replay.ended_at;
  const take = (next) => setReplay((old) => (next.ts >= old.ts ? next : old));
  useEvents((batch) => {
    const news = batch.filter(({ type, data }) => type === "factory_replay" && data.replay_id === replay.replay_id);
    if (news.length) take(news.at(-1).data);
  });
  useEvery(ASK_EVERY_MS, async () => isOpen && ask(path`/api/v1/replays/${replay.replay_id}`));
  const [ask] = useAction(async (url) => take(await api.get(url)));
  const [control, state] = useAction(async (body) =>
    take(await api.post(path`/api/v1/replays/${replay.replay_id}/control`, body)));
  return html`
    <${Panel} title=${`${isOpen ? t("replay_panel.replay") : t("replay_panel.last_replay")}${name ? t("replay_panel.of", { name }) : ""}`} class="wide-panel replay">
      <p>
        <${Badge} kind=${KINDS[replay.state]}>${word(replay.state)}<//>
        ${replay.passed === true && html` <${Badge} kind="good">${t("replay_panel.the_end_is_the_one")}<//>`}
        ${replay.passed === false && html` <${Badge} kind="bad">${t("replay_panel.the_end_is_not_the")}<//>`}
        ${" "}<${Reason} text=${replay.reason} />
      </p>
      <${Progress} replay=${replay} />
      ${isOpen && session.may("operator") && html`<${Controls} replay=${replay} control=${control} isBusy=${state.isBusy} />`}
      <${ProblemNotice} problem=${state.problem} />
      <${Facts} facts=${[
        [t("replay_panel.sent"), number(replay.sent)],
        [t("replay_panel.commands_left_out"), number(replay.left_out)],
        [t("replay_panel.failed"), number(replay.failed)],
        [t("replay_panel.behind_schedule"), seconds(replay.drift_ms)],
        [t("common.environment"), `${replay.env}${replay.armed ? t("replay_panel.armed") : ""}`],
        [t("replay_panel.begun"), when(replay.created_at)],
        [t("common.by_3"), replay.created_by],
      ]} />
      ${replay.differences?.length > 0 && html`
        <ul class="skipped" tabindex="0" aria-label=${t("replay_panel.differences")}>${replay.differences.map((line) => html`<li key=${line}>${line}</li>`)}</ul>`}
    <//>`;
}

const Progress = ({ replay }) => html`
  <label class="field">
    <span class="field-label">${tx("replay_panel.of_2", { position_ms: seconds(replay.position_ms), duration_ms: seconds(replay.duration_ms), it: t("replay_panel.of_messages", { number: number(replay.number), total: number(replay.total) }) })}</span>
    <progress max=${replay.total} value=${replay.number}></progress>
  </label>`;

function Controls({ replay, control, isBusy }) {
  const [wanted, setWanted] = useState({ turn: null, place: null }); // of an answered turn it is of no more interest
  const isPaused = replay.state === "paused";
  const place = wanted.turn === replay.turn ? wanted.place : null;
  function seek() {
    if (place !== null) control({ do: "seek", to_ms: place });
  }
  return html`
    <div class="buttons replay-controls" role="group" aria-label=${t("replay_panel.control_the_replay")}>
      <${Button} class="primary" disabled=${replay.state === "checking"} isBusy=${isBusy}
        onClick=${() => control({ do: isPaused ? "resume" : "pause" })}>${isPaused ? t("common.resume") : t("common.pause")}<//>
      <${Button} disabled=${!isPaused} isBusy=${isBusy} onClick=${() => control({ do: "step" })}>${t("replay_panel.step")}<//>
      <${Button} class="danger-outline" isBusy=${isBusy} onClick=${() => control({ do: "stop" })}>${t("replay_panel.stop")}<//>
      <label>${t("common.speed")} <select value=${replay.speed === null || replay.speed === undefined ? "max" : String(replay.speed)}
        onChange=${({ currentTarget }) => control({ do: "speed", speed: speedOf(currentTarget.value) })}>
        ${SPEEDS.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
      </select></label>
      <label class="replay-place">${tx("replay_panel.go_to", { it: place === null ? "" : seconds(place) })}
        <input type="range" min="0" max=${replay.duration_ms} step=${STEP_MS} value=${place ?? replay.position_ms}
          onInput=${({ currentTarget }) => setWanted({ turn: replay.turn, place: Number(currentTarget.value) })} onChange=${seek} />
      </label>
    </div>`;
}
