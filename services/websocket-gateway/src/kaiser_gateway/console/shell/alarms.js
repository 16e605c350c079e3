/** Alarms in the head of every page: how many want somebody; and a sound, where it is wanted. */

import { store } from "../core/store.js";
import { html, useApp, useEffect } from "../ui/html.js";
import { useEvery, useStore } from "../ui/hooks.js";
import { link } from "../ui/route.js";
import { t } from "../core/texts.js";

const ASK_EVERY_MS = 15_000;
const KEY = "kaiser.alarm-sound";
const KINDS = { critical: "bad", warning: "warn", info: "info" };
const BEEP_S = 0.4;
const BEEP_HZ = 880;
const LOUDNESS = 0.2;

/** The badge; nothing while no alarm is open. */
export function AlarmBadge() {
  const { alarms } = useApp();
  const counts = useStore(alarms.current);
  useEvery(ASK_EVERY_MS, alarms.reload);
  useEffect(() => {
    alarms.reload();
  }, []);
  if (!counts) return null;
  const standing = counts.critical + counts.warning + counts.info;
  const number = counts.unacknowledged || standing;
  if (number === 0) return null;
  const kind = counts.unacknowledged ? KINDS[counts.worst] ?? "warn" : "idle";
  const noun = t("alarms.noun", { n: number });
  return html`
    <a class="alarm-badge badge-${kind}" href=${link("alarms")}
      aria-label=${`${number} ${noun}${counts.unacknowledged ? "" : t("alarms.acknowledged")}`}>
      <span aria-hidden="true">▲</span> ${number} <span class="alarm-word">${noun}</span>
    </a>`;
}

/** The sound of an alarm: `current` is on or off, kept in this browser. */
export function openSound(storage) {
  const current = store(storage.getItem(KEY) ?? "off");
  let audio = null;
  return {
    current,
    /** Called by a click, after which browsers let a page make a sound. */
    choose(next) {
      storage.setItem(KEY, next);
      current.set(next);
      if (next === "on") this.play();
    },
    play() {
      if (current.get() !== "on") return;
      audio ??= new AudioContext();
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      volume.gain.value = LOUDNESS;
      tone.frequency.value = BEEP_HZ;
      tone.connect(volume).connect(audio.destination);
      tone.start();
      tone.stop(audio.currentTime + BEEP_S);
    },
  };
}
