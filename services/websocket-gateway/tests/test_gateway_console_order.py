"""The order of answers in the console: an older one never replaces a newer one, and a slow one is waited for."""

from collections.abc import Callable
from typing import Any

import pytest
from console_module import node, printed


@pytest.fixture
def answered(missing: Callable[..., Any]) -> Callable[..., Any]:
    """`answered(script, **given)`: the JSON that a script prints, which has `given` and imports from core/."""
    if node() is None:
        missing("node", "node is not installed")
    return printed


IN_ORDER = """
import { inOrder } from "./core/in_order.js";
const taken = [];
const answers = [];
const question = () => new Promise((done, failed) => answers.push({ done, failed }));
const ask = inOrder(question, (answer) => taken.push(answer));
const asked = given.order.map(() => ask().catch(({ message }) => message));
for (const number of given.order) {
  if (number === given.fails) answers[number].failed(new Error("away"));
  else answers[number].done(number);
  await asked[number];
}
console.log(JSON.stringify(taken));
"""


@pytest.mark.parametrize(
    ("order", "fails", "taken"),
    [([0, 1, 2], None, [0, 1, 2]), ([1, 0, 2], None, [1, 2]), ([2, 1, 0], None, [2]), ([2, 0, 1], 2, [0, 1])],
)
def test_an_answer_that_comes_after_a_newer_one_is_dropped(
    answered: Callable[..., Any], order: list[int], fails: int | None, taken: list[int]
):
    assert answered(IN_ORDER, order=order, fails=fails) == taken


SPACED = """
import { spaced } from "./core/spaced.js";
let running = 0;
let most = 0;
let count = 0;
const call = spaced(async () => {
  count += 1;
  most = Math.max(most, ++running);
  await new Promise((done) => setTimeout(done, 20));
  running -= 1;
}, 1);
for (let number = 0; number < 40; number += 1) {
  call();
  await new Promise((done) => setTimeout(done, 2));
}
console.log(JSON.stringify([most, count > 1, count < 20]));
"""


def test_a_task_that_takes_longer_than_its_interval_is_not_begun_twice_at_a_time(answered: Callable[..., Any]):
    assert answered(SPACED) == [1, True, True]


PAGES = """
import { pagesOf } from "./core/list_filters.js";
const pages = { null: [["a", "b"], "1"], 1: [[], "2"], 2: [["c"], null] };
const asked = [];
const ask = async (cursor) => {
  asked.push(cursor);
  const [items, next_cursor] = pages[cursor];
  return { items, next_cursor, bytes: 7 };
};
console.log(JSON.stringify([await pagesOf(ask, given.count), asked]));
"""


@pytest.mark.parametrize(
    ("count", "items", "cursor", "asked"),
    [
        (1, ["a", "b"], "1", [None]),
        (2, ["a", "b"], "2", [None, "1"]),
        (9, ["a", "b", "c"], None, [None, "1", "2"]),
    ],
)
def test_a_list_is_asked_for_in_as_many_pages_as_are_shown(
    answered: Callable[..., Any], count: int, items: list[str], cursor: str | None, asked: list[str | None]
):
    assert answered(PAGES, count=count) == [{"items": items, "next_cursor": cursor, "bytes": 7}, asked]


SOCKETS = """
const opened = [];
globalThis.location = { protocol: "http:", host: "kaiser.test" };
globalThis.WebSocket = class { constructor(url) { opened.push(this); this.url = url; } close() {} };
globalThis.setTimeout = (task) => { waiting.push(task); return 0; };
globalThis.setInterval = () => 0;
const waiting = [];
const { openMessageSocket } = await import("./core/message_socket.js");
let renewed;
const api = { renew: () => new Promise((done) => { renewed = done; }) };
const session = { current: { get: () => ({ accessToken: "token" }) } };
const socket = openMessageSocket({ session, api, onFrame() {}, onPhase() {}, placeOf: () => ({}) });
socket.open({ priority: 4, filter: "" });
const ended = opened[0].onclose({ code: 4001, reason: "" });
socket.open({ priority: 1, filter: "" });
renewed(true);
await ended;
for (const task of waiting) task();
console.log(JSON.stringify(opened.map(({ url }) => new URL(url).searchParams.get("priority"))));
"""


def test_a_connection_that_is_being_renewed_is_not_made_once_something_else_is_looked_at(answered: Callable[..., Any]):
    assert answered(SOCKETS) == ["4", "1"]


SESSIONS = """
import { openApi } from "./core/api.js";
import { openSession } from "./core/session.js";
import { openTexts } from "./core/texts.js";
await openTexts({ getItem: () => "en" }, [], {});
const storage = new Map();
const [setItem, removeItem] = ["set", "delete"].map((name) => (...given) => storage[name](...given));
const session = openSession({ getItem: (key) => storage.get(key) ?? null, setItem, removeItem });
const tokens = (number) => ({ role: "admin", access_token: `access ${number}`, refresh_token: `refresh ${number}` });
session.begin("ada", tokens(1));
const headers = { "Content-Type": "application/json" };
const json = (status, body) => new Response(JSON.stringify(body), { status, headers });
let refuse;
let change;
const refusal = new Promise((done) => { refuse = done; });
const changing = new Promise((done) => { change = done; });
globalThis.fetch = async (url, { headers: { Authorization: token } }) => {
  if (url.endsWith("/refresh")) return refusal.then(() => json(401, { status: 401, title: "refused" }));
  if (url.endsWith("/password")) return changing.then(() => json(200, tokens(2)));
  return token === "Bearer access 2" ? json(200, { it: "is here" }) : json(401, { status: 401, title: "over" });
};
const api = openApi(session, { renew: (token, ask) => ask() });
const changed = api.changePassword("old", "new");
const asked = api.get("/api/v1/overview").catch(({ message }) => message);
const pause = () => new Promise((done) => setTimeout(done, 20));
await pause();
for (const step of given.order) {
  ({ refuse, change })[step]();
  await pause();
}
await changed;
console.log(JSON.stringify([session.current.get()?.accessToken, given.order[0] === "change" ? await asked : "either"]));
"""


@pytest.mark.parametrize(
    ("order", "asked"), [(["change", "refuse"], {"it": "is here"}), (["refuse", "change"], "either")]
)
def test_a_session_that_began_with_a_new_password_outlasts_the_refusal_of_the_old_one(
    answered: Callable[..., Any], order: list[str], asked: object
):
    assert answered(SESSIONS, order=order) == ["access 2", asked]
