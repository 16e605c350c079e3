"""The catalogue of the console's texts: both languages have the same keys, and nothing that is shown stands outside."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from console_module import called, node
from console_texts import shown_in
from kaiser_common.contract.alarm_kinds import ALARM_FACTS, AlarmKind
from kaiser_common.contract.errors import ERRORS
from kaiser_common.contract.methods.whole import METHODS
from kaiser_common.contract.rpc import GATEWAY, Role
from kaiser_common.contract.schemas.actuator import AlertType, Command
from kaiser_common.contract.schemas.api.actuators import (
    NO_REASON,
    OPERATORS_CLEAR,
    OPERATORS_STOP,
    UNCONFIRMED,
    CommandStateName,
    HistoryItem,
)
from kaiser_common.contract.schemas.api.devices import SYSTEM_COMMANDS
from kaiser_common.contract.schemas.api.mock import MockStateName
from kaiser_common.contract.schemas.api.rules import Action, Condition
from kaiser_common.contract.schemas.event import ConfigResponseEvent, EventType, ZoneAssignmentEvent
from kaiser_common.contract.schemas.factory import EnvironmentKind, JournalState
from kaiser_common.contract.system_events import SYSTEM_EVENTS
from kaiser_common.contract.wording import VIOLATIONS
from kaiser_factory_dialect.ccu_messages import OrderWord
from kaiser_factory_dialect.messages import ActionWord, ConnectionWord
from kaiser_factory_dialect.steering import REQUESTS
from kaiser_gateway.http import console_files
from kaiser_gateway.store.access_log import AccessAction
from pydantic import BaseModel, TypeAdapter

CONSOLE = Path(console_files.FOLDER)
SOURCES = sorted(path for room in ("core", "ui", "shell", "pages") for path in CONSOLE.glob(f"{room}/*.js"))
START = CONSOLE / "start.js"
"""Reads the catalogue; what it says until then is English."""

ENGLISH = {"snippets.js"}
"""Files whose words are English in each language: programs for devices."""

MAKERS = {"texts.js", "times.js"}
"""The catalogue's own functions, and names of formats."""

ASKED = re.compile(r"\b(?:word|sentence)\([^;]*?, \"([a-z_]+)\"")
USED = re.compile(r"\btx?\(\s*\"([\w.]+)\"")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
NAMES = {
    "A, January 2026", "Android", "B, April 2026", "BLUE-Prod", "Bearer {0}", "CSV", "Chrome", "Chrome/",
    "Content-Type", "Authorization", "ESP32_WROOM", "ESP_0A1B2C3D", "Edg/", "Edge", "Enter", "Escape", "Firefox",
    "Firefox/", "Idempotency-Key", "If-Match",
    "InvalidStateError", "Kaiser", "KiB", "Linux", "MOCK_001", "Mac OS", "OEE",
    "PNG", "QoS", "RED-Prod", "Safari", "Safari/", "Slack", "Telegram", "TimeoutError", "TypeError", "WHITE-Prod",
    "Webhook", "Windows", "ccu/# fts/#", "god", "hi", "hi_hi", "iPad", "iPhone", "lo", "lo_lo",
    "module/v1/# ccu/order/+", "module/v1/+/+/state", "module/v1/+/NodeRed/#",
    "kaiser/+/esp/+/sensor/#", "set_limits", "{0} MiB", "{0} dBm",
    "findInitialDockPosition", "clearLoadHandler", "factsheetRequest", "setStatusLED", "announceOutput",
    "cancelStorageOrder",
    "startPause", "stopPause", "cancelOrder", "stateRequest", "startCharging", "stopCharging", "initPosition",
    '{"type": "WHITE"}', '{"nodeId": "SVR4H73275"}', "N1 N2 N3", "pick",
}  # fmt: skip
"""Texts that are shown as they are: names of programs and products, units, and examples of what is typed."""
NOT_SHOWN = re.compile(
    r"^[./#]|://|^kaiser\.|^(gantt-|agv |tile |module module|piece|top-bar |panels|translate\(|echo |mosquitto_pub )"
    r"|^(color-mix|input, |messages of |\{0\}px |\{0\} wait$|no picture of )"
)
"""Paths, classes, styles, commands of a shell, what stands in files, and errors that are caught."""


def values_of(model: type[BaseModel], field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))


def documented_actions() -> dict[str, set[str]]:
    """The audited actions that docs/audit.md lists, by service."""
    rows = re.findall(r"^\| [^|]+ \| ([a-z-]+) \| (`[^|]+) \|$", AUDIT.read_text(), re.MULTILINE)
    return {service: set(re.findall(r"`(\w+)`", actions)) for service, actions in rows}


def audited_actions() -> dict[str, set[str]]:
    """The actions of the audit as the code states them, by service; health's, which it writes itself, as documented."""
    found: dict[str, set[str]] = {row.service: set() for row in METHODS}
    for row in METHODS:
        found[row.service] |= {row.audited.action} if row.audited else set()
    return {**found, "health": documented_actions()["health"], GATEWAY: set(get_args(AccessAction))}


def types_of(union: Any) -> set[str]:
    """The types of the members of a union of a rule, without the older names that a rule may be written with."""
    return set(TypeAdapter(union).json_schema()["discriminator"]["mapping"]) - {"sensor", "actuator"}


AUDIT = Path(__file__).parents[3] / "docs/audit.md"
ALARMS = Path(__file__).parents[3] / "docs/alarms.md"
ALARM_KIND = re.compile(r"^\| (`[a-z_`, ]+`) \| [^|]+ \| [^|]+ \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
CALLED = {
    "alarm_kind": set(get_args(AlarmKind)),
    "alarm_text": set(get_args(AlarmKind)),
    "system_event": set(SYSTEM_EVENTS),
    "system_command": {name for names in SYSTEM_COMMANDS.values() for name in names},
    "alert": set(get_args(AlertType)),
    "deed": set(REQUESTS),
    "rule_part": types_of(Condition) | types_of(Action),
    "violation": set(VIOLATIONS),
    "event": set(get_args(EventType)),
    "command": {*get_args(CommandStateName), *get_args(JournalState)},
    "push": values_of(ConfigResponseEvent, "status") | values_of(ZoneAssignmentEvent, "status"),
    "mock": set(get_args(MockStateName)),
    "role": set(get_args(Role)),
    "entry": values_of(HistoryItem, "kind"),
    "order": set(get_args(OrderWord)),
    "action": set(get_args(ActionWord)),
    "connection": set(get_args(ConnectionWord)),
    "problem": {str(row.code.value) for row in ERRORS},
    "audited": set().union(*audited_actions().values()),
    "environment": set(get_args(EnvironmentKind)),
    "switch": set(get_args(Command)),
    "note": {OPERATORS_STOP, OPERATORS_CLEAR, NO_REASON},
    "command_reason": {UNCONFIRMED},
}
"""The API's values of things that have words in the catalogue, by the kind of thing."""


@pytest.fixture(scope="module")
def catalogues(missing: Any) -> dict[str, dict[str, Any]]:
    """The texts of each language by key."""
    if node() is None:
        missing("node", "node is not installed")
    script = "const load = async (name) => (await import(`./core/texts/${name}.js`)).default;" + (
        "console.log(JSON.stringify({ en: await load('en'), de: await load('de') }));"
    )
    command = [str(node()), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=CONSOLE, capture_output=True, text=True, timeout=120, check=True)
    return dict(json.loads(done.stdout))


@pytest.fixture
def ask(missing: Any, tmp_path: Path) -> Callable[..., Any]:
    """`ask([function, *arguments], …)` of core/texts.js."""
    if node() is None:
        missing("node", "node is not installed")
    return lambda *calls: called("texts.js", [list(call) for call in calls], tmp_path)


def forms(text: Any) -> dict[str, str]:
    return dict(text) if isinstance(text, dict) else {"other": text}


def test_both_languages_have_the_same_keys_forms_and_values(catalogues: dict[str, dict[str, Any]]):
    english, german = catalogues["en"], catalogues["de"]
    assert english.keys() == german.keys()
    for key, text in english.items():
        assert forms(text).keys() == forms(german[key]).keys(), key
        for form, words in forms(text).items():
            assert sorted(PLACEHOLDER.findall(words)) == sorted(PLACEHOLDER.findall(forms(german[key])[form])), key


def test_every_text_is_used_and_every_use_has_a_text(catalogues: dict[str, dict[str, Any]]):
    used = {key for path in [*SOURCES, START] for key in USED.findall(path.read_text())}
    assert {key for key in catalogues["en"] if not key.startswith("word.")} == used


@pytest.mark.parametrize("of", CALLED)
def test_each_value_of_the_api_has_its_word(of: str, catalogues: dict[str, dict[str, Any]]):
    of_it = f"word.{of}."
    assert {key.removeprefix(of_it) for key in catalogues["en"] if key.startswith(of_it)} == CALLED[of]


@pytest.mark.parametrize("service", sorted(documented_actions().keys() - {"simulator"}))
def test_the_page_of_the_audit_lists_each_action(service: str):
    assert documented_actions()[service] == audited_actions()[service]


FIELDS = {"device", "gpio", "sensor", "source", "severity", "target", "message"}
"""Each alarm or event has these, beside its facts."""


@pytest.mark.parametrize(
    ("of", "facts"),
    [
        ("alarm_text", ALARM_FACTS),
        ("system_event", SYSTEM_EVENTS),
        ("violation", dict.fromkeys(VIOLATIONS, ("limit",))),
    ],
)
def test_a_sentence_uses_what_its_alarm_event_or_problem_has(
    of: str, facts: dict[str, Any], catalogues: dict[str, dict[str, Any]]
):
    for texts in catalogues.values():
        for value, names in facts.items():
            assert set(PLACEHOLDER.findall(texts[f"word.{of}.{value}"])) <= {*FIELDS, *names}, value


def test_the_kinds_that_operators_read_about_are_those_of_the_sources():
    documented = {kind for row in ALARM_KIND.findall(ALARMS.read_text()) for kind in re.findall(r"\w+", row)}
    assert documented <= set(ALARM_FACTS)
    assert set(ALARM_FACTS) - documented <= set(SYSTEM_EVENTS), "critical events are kinds of their own names"


def test_words_are_asked_for_as_the_catalogue_groups_them(catalogues: dict[str, dict[str, Any]]):
    asked = {of for path in SOURCES for of in re.findall(ASKED, path.read_text())}
    assert {key.split(".")[1] for key in catalogues["en"] if re.match(r"word\.[a-z_]+\.", key)} == asked


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.name not in ENGLISH | MAKERS], ids=lambda path: path.name
)
def test_what_people_read_stands_in_the_catalogue(path: Path):
    source = path.read_text()
    found = [
        (source.count("\n", 0, one.start) + 1, one.text)
        for one in shown_in(source)
        if one.text.strip() not in NAMES
        and not NOT_SHOWN.search(one.text)
        and (one.kind != "string" or re.search(r"[A-Z][a-z]|[a-z,…] [a-z{]|\} [a-z]", one.text))
    ]
    assert found == []


def test_a_text_outside_the_catalogue_is_found_wherever_it_stands():
    source = """
import { t } from "./texts.js";
const say = () => toasts.say("It is done.");
const shown = html`<p class="quiet" title="A hint">Two words ${count > 1 && html`<b>${count} more</b>`}</p>
  <${Field} label=${t("a.key")} value=${`${x}px`} />`;
const badge = html`<${Badge} kind=${ok ? "good" : "bad"}>${ok ? "passes" : "refused"}<//>`;
const pattern = /[`"]/.test(text) ? `${count} of them` : "plain-class";
"""
    texts = [one.text.strip() for one in shown_in(source)]
    assert [text for text in texts if " " in text] == [
        "It is done.",
        "A hint",
        "{0} more",
        "Two words {0}",
        "{0} of them",
    ]
    assert [one.text for one in shown_in(source) if one.kind == "run"] == ["{0} more", "Two words {0}", "refused"]


@pytest.mark.parametrize(
    ("kept", "wanted", "language"),
    [
        (None, ["de-AT", "en"], "de"),
        (None, ["fr-FR", "de"], "de"),
        (None, ["en-US"], "en"),
        (None, ["fr"], "en"),
        (None, [], "en"),
        ("en", ["de"], "en"),
        ("de", ["en"], "de"),
        ("xx", ["de"], "de"),
    ],
)
def test_the_language_is_the_kept_one_else_the_browsers_else_english(ask, kept, wanted, language):
    assert ask(["languageOf", kept, wanted]) == [language]


def test_a_text_has_its_values_and_the_form_of_its_number(ask):
    calls = [
        ["t", "overview.devices", {"n": 1}],
        ["t", "overview.devices", {"n": 0}],
        ["tx", "alarms.acknowledged_by", {"by": "grace"}],
        ["word", "good"],
        ["word", "something new"],
        ["word", "READY", "availability"],
        ["word", "something_new", "alarm_kind", "something new"],
        ["word", "constructor", "availability"],
    ]
    assert ask(*calls) == [
        "1 device online,",
        "0 devices online,",
        ["acknowledged by ", "grace", ""],
        "good",
        "something new",
        "READY",
        "something new",
        "constructor",
    ]
