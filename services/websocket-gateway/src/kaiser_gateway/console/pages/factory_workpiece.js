/** A workpiece: where it has been, its checks of quality with their pictures, its orders. */

import { path } from "../core/api.js";
import { orNone } from "../core/format.js";
import { ORDER, orderTypeText } from "../core/factory.js";
import { bitmapOf } from "../core/pictures.js";
import { html, useApp, useEffect, useRef, useState } from "../ui/html.js";
import { useEvents, useLoaded } from "../ui/hooks.js";
import { Badge, Empty, Head, ListState, Panel } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { Problem } from "../core/api.js";
import { when } from "../ui/time.js";
import { t, word } from "../core/texts.js";

export function WorkpiecePage({ parts: [id] }) {
  return html`
    <${Head} title=${t("common.workpiece")}><a href=${link("orders")}>${t("common.all_orders")}</a><//>
    ${id ? html`<${WorkpiecePanel} id=${id} />` : html`<${Empty}>${t("factory_workpiece.no_workpiece_is_named")}<//>`}`;
}

export function WorkpiecePanel({ id }) {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get(path`/api/v1/factory/workpieces/${id}`), [id]);
  useEvents((batch) => batch.some(({ type, data }) => type === "factory_order" && data.workpiece_id === id) && loaded.reloadSoon());
  const piece = loaded.data;
  return html`
    <${Panel} title=${t("factory_workpiece.workpiece", { id })}>
      <${ListState} loaded=${loaded} count=${1} />
      ${piece && html`
        <div class="workpiece">
          <div>
            <h3>${t("factory_workpiece.stations")}</h3>
            <ol class="stations">
              ${piece.stations.map(({ code, what, at, serial, result }) => html`
                <li key=${`${code} ${at}`}><strong>${what}</strong> <span class="quiet">${code}</span>
                  <span class="quiet block">${when(at)}, ${orNone(serial)}${result ? `, ${word(result, "result")}` : ""}</span></li>`)}
            </ol>
            ${!piece.stations.length && html`<p class="quiet">${t("factory_workpiece.it_has_passed_no_station")}</p>`}
          </div>
          <div>
            <h3>${t("factory_workpiece.checks_of_quality")}</h3>
            ${piece.quality.map((check) => html`<${Check} key=${check.quality_id} check=${check} />`)}
            ${!piece.quality.length && html`<p class="quiet">${t("factory_workpiece.it_has_not_been_checked")}</p>`}
          </div>
          <div>
            <h3>${t("common.orders")}</h3>
            <ul class="stations">
              ${piece.orders.map(({ order }) => html`
                <li key=${order.order_id}><a href=${link("orders", order.order_id)}>${orderTypeText(order.order_type)}</a>
                  <${Badge} kind=${ORDER[order.state] ?? "idle"}>${word(order.state, "order")}<//></li>`)}
            </ul>
          </div>
        </div>`}
    <//>`;
}

function Check({ check }) {
  const kind = check.result === "PASSED" ? "good" : "bad";
  return html`
    <figure class="check-of-quality">
      ${check.has_picture && html`<${Picture} id=${check.quality_id} text=${t("factory_workpiece.picture_of_the_check", { result: word(check.result, "result") })} />`}
      <figcaption><${Badge} kind=${kind}>${word(check.result, "result")}<//> ${orNone(check.classification)}
        <span class="quiet block">${when(check.at)}</span></figcaption>
    </figure>`;
}

/** A picture needs the session's token, which an <img> does not send: it is fetched and drawn. */
function Picture({ id, text }) {
  const { api } = useApp();
  const canvas = useRef(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let isShown = true;
    draw(api, id, () => (isShown ? canvas.current : null)).catch((error) => {
      if (!(error instanceof Problem) && error.name !== "InvalidStateError") throw error;
      if (isShown) setFailed(true);
    });
    return () => { isShown = false; };
  }, [id]);
  if (failed) return html`<p class="quiet">${t("factory_workpiece.the_picture_cannot_be_shown")}</p>`;
  return html`<canvas ref=${canvas} role="img" aria-label=${text} width="96" height="96"></canvas>`;
}

async function draw(api, id, canvasNow) {
  const image = await bitmapOf(await api.blob(path`/api/v1/factory/quality/${id}/picture`));
  const canvas = canvasNow();
  if (!canvas) return;
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").drawImage(image, 0, 0);
  canvas.dataset.drawn = "yes";
}
