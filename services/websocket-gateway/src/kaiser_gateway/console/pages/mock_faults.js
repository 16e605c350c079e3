/** What is wrong with a mock on purpose. */

import { CheckField, Form, NumberField, TextField } from "../ui/form.js";
import { html, useApp } from "../ui/html.js";
import { useAction } from "../ui/hooks.js";
import { Panel } from "../ui/parts.js";

export function MockFaults({ faults, url, onDone }) {
  const { api, toasts } = useApp();
  const [save, state] = useAction(async (fields) => {
    await api.put(`${url}/faults`, faultsOf(fields));
    toasts.say("The faults are in force.");
    onDone();
  });
  const { problem } = state;
  return html`
    <${Panel} title="Faults">
      <${Form} onSubmit=${save} submit="Set faults" state=${state}>
        <${CheckField} label="Offline, as if the power was cut" name="offline" checked=${faults.offline} />
        <${CheckField} label="Without a clock" name="no_clock" checked=${faults.no_clock} />
        <${CheckField} label="Refuses every command" name="refuse_commands" checked=${faults.refuse_commands} />
        <div class="field-grid">
          <${NumberField} label="Broken payloads (0 to 1)" name="garbage" min="0" max="1" required value=${faults.garbage}
            problem=${problem} />
          <${NumberField} label="Sent twice (0 to 1)" name="duplicate" min="0" max="1" required value=${faults.duplicate}
            problem=${problem} />
          <${NumberField} label="Clock wrong by … s" name="clock_offset_s" required value=${faults.clock_offset_s}
            problem=${problem} />
          <${NumberField} label="Late by … s" name="late_s" min="0" max="3600" required value=${faults.late_s}
            problem=${problem} />
          <${NumberField} label="Goes offline and online every … s" name="flapping_s" min="0" max="3600" required
            value=${faults.flapping_s} problem=${problem} />
          <${NumberField} label="Answers … s late" name="slow_response_s" min="0" max="600" required
            value=${faults.slow_response_s} problem=${problem} />
          <${TextField} label="Silent sensors" name="silent" pattern="[0-9, ]*" value=${faults.silent.join(", ")}
            hint="gpios: 4, 5" problem=${problem} />
        </div>
      <//>
    <//>`;
}

/** The body of a PUT. */
function faultsOf({ silent, ...fields }) {
  return { ...fields, silent: (silent ?? "").split(/[, ]+/).filter(Boolean).map(Number) };
}
