/** Rejected messages by their cause; pure. */

import { t } from "./texts.js";

const OF_A_DEVICE = /^(ESP|MOCK|SIM|TEST)_[A-Z0-9_]{1,27}$/;

/**
 * Messages of one code, field and sender are one group: [{key, code, field, espId, sender, count, newest, seqs}], the
 * largest in front. `sender`: a device, a serial of the factory, or the topic of what names neither. `seqs`: oldest first,
 * so that what is replayed comes in its order.
 */
export function groupsOf(messages) {
  const groups = new Map();
  for (const message of messages) {
    const { code, field = null, esp_id: espId = null, serial = null, topic } = message;
    const sender = espId ?? serial ?? topic;
    const key = JSON.stringify([code, field, sender]);
    const group = groups.get(key) ?? { key, code, field, espId, sender, count: 0, newest: message, seqs: [] };
    groups.set(key, group);
    group.count += 1;
    group.seqs.push(message.seq);
    if (message.seq > group.newest.seq) group.newest = message;
  }
  for (const { seqs } of groups.values()) seqs.sort((one, other) => one - other);
  return [...groups.values()].sort((one, other) => other.count - one.count || other.newest.seq - one.newest.seq);
}

/** Whether the cause is that nobody has registered or approved the sender, and the sender can be. */
export const canRegister = ({ code, espId }) => code === 5001 && OF_A_DEVICE.test(espId ?? "");

/** "Replayed: 7; still rejected: 2." */
export const replayed = ({ taken, rejected }) => t("common.replayed_still_rejected", { taken, rejected });
