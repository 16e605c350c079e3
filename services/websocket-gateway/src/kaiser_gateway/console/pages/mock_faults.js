/** What is wrong with a mock on purpose. */

import { DurationField } from "../ui/duration.js";
import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Panel } from "../ui/parts.js";
import { t } from "../core/texts.js";

export function MockFaults({ faults, url, onDone }) {
  const { api, toasts } = useApp();
  const [save, state] = useAction(async (fields) => {
    await api.put(`${url}/faults`, faultsOf(fields));
    toasts.say(t("mock_faults.the_faults_are_in_force"));
    onDone();
  });
  const { problem } = state;
  return html`
    <${Panel} title=${t("mock_faults.faults")}>
      <${Form} onSubmit=${save} submit=${t("mock_faults.set_faults")} state=${state}>
        <${CheckField} label=${t("mock_faults.offline_as_if_the_power")} name="offline" checked=${faults.offline} />
        <${CheckField} label=${t("mock_faults.without_a_clock")} name="no_clock" checked=${faults.no_clock} />
        <${CheckField} label=${t("mock_faults.refuses_every_command")} name="refuse_commands" checked=${faults.refuse_commands} />
        <div class="field-grid">
          <${NumberField} label=${t("mock_faults.broken_payloads_0_to_1")} name="garbage" min="0" max="1" required value=${faults.garbage}
            problem=${problem} />
          <${NumberField} label=${t("mock_faults.sent_twice_0_to_1")} name="duplicate" min="0" max="1" required value=${faults.duplicate}
            problem=${problem} />
          <${DurationField} label=${t("mock_faults.clock_wrong_by")} name="clock_offset_s" usual=${[60, 3600, 86_400]} least=${-1e9} most=${1e9} required
            zero=${t("mock_faults.right")} hint=${t("mock_faults.negative_behind")} value=${faults.clock_offset_s} problem=${problem} />
          <${DurationField} label=${t("mock_faults.late_by")} name="late_s" usual=${[10, 60, 600]} most=${3600} required
            zero=${t("mock_faults.in_time")} value=${faults.late_s} problem=${problem} />
          <${DurationField} label=${t("mock_faults.goes_offline_and_online_every")} name="flapping_s" usual=${[10, 60, 300]} most=${3600} required
            zero=${t("mock_faults.never")} value=${faults.flapping_s} problem=${problem} />
          <${DurationField} label=${t("mock_faults.answers_late_by")} name="slow_response_s" usual=${[5, 30, 120]} most=${600} required
            zero=${t("mock_faults.in_time")} value=${faults.slow_response_s} problem=${problem} />
          <${TextField} label=${t("mock_faults.silent_sensors")} name="silent" pattern="[0-9, ]*" value=${faults.silent.join(", ")}
            hint=${t("mock_faults.gpios_4_5")} problem=${problem} />
        </div>
      <//>
    <//>`;
}

/** The body of a PUT. */
function faultsOf({ silent, ...fields }) {
  return { ...fields, silent: (silent ?? "").split(/[, ]+/).filter(Boolean).map(Number) };
}
