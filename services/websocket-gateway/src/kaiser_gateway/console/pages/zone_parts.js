/** What the list of zones and a zone's page share: the overview, and what is wrong in a zone. */

import { troublesOf } from "../core/overview.js";
import { html, useApp } from "../ui/html.js";
import { useEvery, useLoaded } from "../ui/hooks.js";
import { Badge } from "../ui/parts.js";
import { link } from "../ui/route.js";
import { t, word } from "../core/texts.js";

const LOOK_AGAIN_EVERY_MS = 10_000;

/** The overview, read again every 10 s. */
export function useOverview() {
  const { api } = useApp();
  const loaded = useLoaded(() => api.get("/api/v1/overview"), []);
  useEvery(LOOK_AGAIN_EVERY_MS, loaded.reload);
  return loaded;
}

/** What is wrong in a zone. */
export function Troubles({ overview, zoneId, now }) {
  const ids = new Set(overview.devices.filter((one) => one.zone_id === zoneId).map((one) => one.esp_id));
  if (!ids.size) return html`<${Badge}>${word("empty")}<//>`;
  const mine = (items) => items.filter((one) => ids.has(one.esp_id));
  const { devices, sensors, actuators, stops, alarms } = overview;
  const found = troublesOf({
    devices: mine(devices), sensors: mine(sensors), actuators: mine(actuators), stops: mine(stops), missing: [],
    alarms: mine(alarms), alarm_kinds: counts(mine(alarms)),
  }, now, zoneId);
  if (!found.length) return html`<${Badge} kind="good">${t("common.all_is_well")}<//>`;
  return found.map(({ text, kind, page }) => html`
    <a key=${text} href=${link(...page)} class="truth-part"><${Badge} kind=${kind}>${text}<//></a>${" "}`);
}

function counts(alarms) {
  const found = {};
  for (const { kind } of alarms) found[kind] = (found[kind] ?? 0) + 1;
  return found;
}
