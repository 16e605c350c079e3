/** What is wrong with a mock on purpose. */

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
          <${NumberField} label=${t("mock_faults.clock_wrong_by_s")} name="clock_offset_s" required value=${faults.clock_offset_s}
            problem=${problem} />
          <${NumberField} label=${t("mock_faults.late_by_s")} name="late_s" min="0" max="3600" required value=${faults.late_s}
            problem=${problem} />
          <${NumberField} label=${t("mock_faults.goes_offline_and_online_every")} name="flapping_s" min="0" max="3600" required
            value=${faults.flapping_s} problem=${problem} />
          <${NumberField} label=${t("mock_faults.answers_s_late")} name="slow_response_s" min="0" max="600" required
            value=${faults.slow_response_s} problem=${problem} />
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
