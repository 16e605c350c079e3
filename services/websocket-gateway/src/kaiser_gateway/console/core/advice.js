/** What to change after a message was rejected. */

import { t, word } from "./texts.js";

export const adviceFor = (code) => word(code, "advice", t("advice.compare_topic_and_payload"));
