/** The messages of one device, both ways and live: what came, what was rejected and why, what was sent to it. */

import { path } from "../core/api.js";
import { bytes, pretty } from "../core/format.js";
import { VERDICTS, inOneList, isWanted, withNewer } from "../core/inspection.js";
import { deviceName } from "../core/names.js";
import { adviceFor } from "../core/advice.js";
import { Field, SelectField } from "../ui/form.js";
import { html, useApp, useRef, useState } from "../ui/html.js";
import { useDialog, useEvery, useLoaded } from "../ui/hooks.js";
import { useDirectory } from "../ui/names.js";
import { Badge, Empty, Facts, Head, ListState, ProblemNotice, Rejection } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { when } from "../ui/time.js";
import { FixDialog, RegisterButton } from "./fix_dialog.js";
import { t, tx, word } from "../core/texts.js";
import { timeOfDay } from "../core/times.js";
import { rejectionText } from "../core/problems.js";

const LOOK_EVERY_MS = 1000;
const NEWEST_REJECTED = 100;
const MOST_SHOWN = 200;
const WAYS = [["", t("inspect.both_ways")], ["came", t("inspect.from_the_device")], ["went", t("inspect.to_the_device")], ["rejected", word("rejected")]];

export function Inspect({ parts: [espId = ""] }) {
  const { api } = useApp();
  const [wanted, setWanted] = useState({ way: "", text: "" });
  const [chosen, choose, endChoice] = useDialog();
  const [isPaused, setPaused] = useState(false);
  const name = deviceName(useDirectory(), espId);
  const known = useRef(null);
  const passed = useLoaded(async () => {
    known.current = await later(api, espId, known.current?.espId === espId ? known.current : null);
    return known.current;
  }, [espId]);
  const rejected = useLoaded(() => api.get("/api/v1/rejected", { esp_id: espId, limit: NEWEST_REJECTED }), [espId]);
  useEvery(LOOK_EVERY_MS, async () => {
    if (isPaused || !passed.data) return;
    await passed.reload();
    rejected.reloadSoon();
  });
  const all = inOneList(passed.data?.items ?? [], rejected.data?.items ?? []);
  const shown = all.filter((one) => isWanted(one, wanted)).slice(0, MOST_SHOWN);
  return html`
    <${Head} title=${t("inspect.messages_of", { name })}>
      <a href=${link("devices", espId)}>${t("inspect.the_device")}</a>
      <button type="button" aria-pressed=${String(isPaused)} onClick=${() => setPaused(!isPaused)}>${isPaused ? t("common.resume") : t("common.pause")}</button>
    <//>
    <div class="filter-fields">
      <${SelectField} label=${t("common.show_3")} name="way" options=${WAYS} value=${wanted.way}
        onChange=${({ target }) => setWanted((old) => ({ ...old, way: target.value }))} />
      <${Field} label=${t("inspect.search")} name="text">
        <input type="search" name="text" maxlength="100" onInput=${({ target }) => setWanted((old) => ({ ...old, text: target.value.trim() }))} />
      <//>
    </div>
    ${passed.data && html`
      <p class="quiet">${tx("inspect.since", { at: when(passed.data.since) })}</p>`}
    <${ListState} loaded=${passed} count=${1} />
    <${ProblemNotice} problem=${rejected.problem} onRetry=${rejected.reload} />
    ${passed.data && shown.length === 0 && html`<${Empty}>${all.length ? t("inspect.no_message_fits") : t("inspect.no_message_yet")}<//>`}
    <ul class="passed" aria-label=${t("inspect.messages_newest_first")}>
      ${shown.map((one) => html`<${Row} key=${one.key} one=${one} onFix=${choose} espId=${espId} onDone=${rejected.reload} />`)}
    </ul>
    ${chosen && html`<${FixDialog} message=${chosen} onDone=${rejected.reload} onClose=${endChoice} />`}`;
}

/** What is known of a device, {espId, since, items}, with what came since. */
async function later(api, espId, known) {
  const after = known?.items.at(-1)?.seq ?? 0;
  const answer = await api.get(path`/api/v1/esp/devices/${espId}/messages`, { after });
  if (known && known.since !== answer.since) return later(api, espId, null); // another ingest, which begins anew
  return { espId, since: answer.since, items: withNewer(known?.items ?? [], answer.items) };
}

function Row({ one, espId, onFix, onDone }) {
  const { direction, verdict, topic, code, reason, field, kind, at, seq } = one;
  const way = direction === "went" ? `→ ${t("inspect.to_the_device")}` : `← ${t("inspect.from_the_device")}`;
  return html`
    <li>
      <details class="message">
        <summary>
          <span class="log-time">${timeOfDay(at / 1000)}</span> <span class="quiet">${way}</span>
          ${" "}<${Badge} kind=${VERDICTS[verdict]}>${word(verdict)}<//> ${code && html`<strong>${code}</strong> `}
          <span class="topic">${shortTopic(topic, espId)}</span> ${reason && html`<span class="quiet">${rejectionText({ code, text: reason })}</span>`}
        </summary>
        <${Facts} facts=${[
          [t("common.topic"), html`<span class="topic">${topic}</span>`],
          [t("common.when"), when(at)],
          ...(reason ? [[t("common.why"), html`<${Rejection} ...${{ code, text: reason }} />`]] : []),
          ...(verdict === "rejected" ? [[t("inspect.what_to_do"), adviceFor(code)]] : []),
          ...(field ? [[t("common.field"), field]] : []),
          ...(kind ? [[t("inspect.read_as"), kind]] : []),
          ...(one.size === undefined ? [] : [[t("common.size"), sizeOf(one)]]),
        ]} />
        <pre tabindex="0" aria-label=${t("common.the_payload")}>${one.encoding === "text" ? pretty(one.payload) : one.payload}</pre>
        ${seq !== null && html`
          <div class="buttons">
            <${RegisterButton} code=${code} espId=${espId} onDone=${onDone} />
            <button type="button" onClick=${() => onFix({ ...one, message: reason, received_at: at })}>${t("inspect.fix_and_replay")}</button>
          </div>`}
      </details>
    </li>`;
}

/** "312 B, QoS 1, retained". */
const sizeOf = ({ size, cut, qos, retained }) => t("inspect.size", {
  size: bytes(size), cut: cut ? t("inspect.cut_here") : "", qos, retained: retained ? t("inspect.retained") : "",
});

/** A topic without what all topics of the device have. */
function shortTopic(topic, espId) {
  const place = topic.indexOf(`/${espId}/`);
  return place < 0 ? topic : topic.slice(place + espId.length + 2);
}
