/** Rejected messages by their cause; pure. */

import { t } from "./texts.js";

const OF_A_DEVICE = /^(ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}$/;

/** Who sent what has a cause: a device, a serial of the factory, or the topic of what names neither. */
export const senderOf = ({ esp_id: espId, serial, topic }) => espId ?? serial ?? topic;

/** The cause as the API takes it, without its counts. */
export const causeOf = ({ code, field, esp_id, serial, topic }) =>
  Object.fromEntries(Object.entries({ code, field, esp_id, serial, topic }).filter(([, value]) => value !== null && value !== undefined));

/** Whether the cause is that nobody has registered or approved the sender, and the sender can be. */
export const canRegister = ({ code, espId }) => code === 5001 && OF_A_DEVICE.test(espId ?? "");

/** The steps of a replay so far, summed up. */
export const added = ({ taken, rejected }, step) => ({ taken: taken + step.replayed, rejected: rejected + step.refused });

/** The step after one that is done; null after the last. */
export const stepAfter = (step, done) =>
  done.next_cursor === null || done.next_cursor === undefined ? null : { ...step, after: Number(done.next_cursor), through: done.through };

/** "Replayed: 7; still rejected: 2." */
export const replayed = ({ taken, rejected }) => t("common.replayed_still_rejected", { taken, rejected });
