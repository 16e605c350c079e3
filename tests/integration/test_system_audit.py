"""One audit: changes of ten kinds at seven services by three users, with who, when, from where, before and after."""

import csv
import io
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from devices import new_id
from harness import Stack, wait_until

PASSWORD = "a long sentence is best"


class Users:
    """The administrator and two operators, each with a client of the API."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.names = {role: f"{role}-{secrets.token_hex(3)}" for role in ("ann", "bob")}
        self.clients = {"admin": stack.sign_in()}
        for name in self.names.values():
            self.ask("admin", "PUT", f"auth/users/{name}", {"role": "operator", "password": PASSWORD})
        for short, name in self.names.items():
            form = {"username": name, "password": PASSWORD}
            token = httpx.post(f"{self.url}/api/v1/auth/token", data=form, timeout=60).raise_for_status().json()
            headers = {"Authorization": f"Bearer {token['access_token']}"}
            self.clients[short] = httpx.Client(base_url=self.url, headers=headers, timeout=60)

    @property
    def url(self) -> str:
        return str(self.stack.addresses["http_url"])

    def ask(self, user: str, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        answer = self.clients[user].request(method, f"/api/v1/{path}", json=body)
        assert answer.is_success if status is None else answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def audit(self, user: str = "admin", **query: Any) -> list[dict[str, Any]]:
        """The entries of the audit, newest first."""
        return list(self.clients[user].get("/api/v1/audit", params=query).raise_for_status().json()["items"])

    def one(self, **query: Any) -> dict[str, Any]:
        """The newest entry of a query, once it is there and its end is known."""
        return wait_until(
            lambda: next((one for one in self.audit(**query) if one["outcome"] != "begun"), None), f"audit has {query}"
        )


@pytest.fixture
def users(stack: Stack) -> Iterator[Users]:
    users = Users(stack)
    yield users
    for client in users.clients.values():
        client.close()


def test_ten_kinds_of_change_by_three_users_stand_in_the_audit_with_before_and_after(stack: Stack, users: Users):
    began_ms = int(time.time() * 1000)
    [device] = stack.register(1)
    mock, channel = new_id("MOCK"), f"c{secrets.token_hex(3)}"
    rule_id = change_all(users, device, mock, channel)

    def change(user: str, action: str, target: str) -> tuple[Any, Any]:
        entry = users.one(actor=users.names.get(user, user), action=action, target=target)
        assert (entry["outcome"], entry["address"]) == ("done", "127.0.0.1")
        assert began_ms <= entry["at"] <= time.time() * 1000
        return entry["before"], entry["after"]

    before, after = change("ann", "change_rule", rule_id)
    assert (before["name"], after["name"]) == ("East is too warm", "East is hot")
    before, after = change("ann", "set_limits", f"{device}/4/ds18b20")
    assert (before["hi"], after["hi"], before["delay_s"], after["delay_s"]) == (20, 25, 0, 60)
    before, after = change("ann", "set_sensor", f"{device}/4/ds18b20")
    assert (before["interval_s"], after["interval_s"], after["calibration"]["offset"]) == (30, 5, 1.5)
    before, after = change("bob", "change_actuator", f"{device}/25")
    assert (before.get("name"), after["name"], after["max_runtime_s"]) == (None, "Pump of bed 1", 600)
    before, after = change("bob", "patch_zone", device.lower())
    assert (before["name"], after["name"], after["version"]) == ("East", "Greenhouse, east", 2)
    before, after = change("bob", "patch_device", device)
    assert (before["name"], after["name"]) == (None, "Greenhouse east")
    before, after = change("bob", "command", f"{device}/25")
    assert (before["emergency"], after["command"], after["reason"]) == ("normal", "OFF", "tried")
    _, after = change("bob", "stop", f"{device}/25")
    assert "water" in [stop["reason"] for stop in after["items"]]
    before, after = change("bob", "clear_stop", f"{device}/25")
    assert [device in str(one) for one in (before, after)] == [True, False]
    before, after = change("bob", "set_mock_faults", mock)
    assert (before["faults"]["offline"], after["faults"]["offline"]) == (False, True)
    before, after = change("admin", "set_channel", channel)
    assert (before["name"], after["name"], "secret" in str((before, after))) == ("Ops", "Night shift", False)
    assert change("admin", "set_user", users.names["ann"]) == ({"role": "operator"}, {"role": "viewer"})
    refused = users.one(actor=users.names["bob"], action="delete_rule", outcome="refused")
    assert (refused["target"], "no rule" in refused["detail"]) == (rule_id, True)
    users.ask("bob", "DELETE", f"debug/mock-esp/{mock}")
    users.ask("admin", "DELETE", f"notifications/channels/{channel}")


def change_all(users: Users, device: str, mock: str, channel: str) -> str:
    """Changes of all kinds; the id of the rule, which is removed at the end."""
    rule = {
        "name": "East is too warm",
        "conditions": [{"type": "sensor", "esp_id": device, "gpio": 4, "operator": ">", "value": 30}],
        "actions": [{"type": "notification", "message": "warm"}],
    }
    rule_id = str(users.ask("ann", "POST", "logic/rules", rule)["rule_id"])
    users.ask("ann", "PATCH", f"logic/rules/{rule_id}", {"name": "East is hot"})
    for limits in ({"hi": 20}, {"hi": 25, "delay_s": 60}):
        users.ask("ann", "PUT", f"alarms/limits/{device}/4/ds18b20", limits)
    for interval_s, offset in ((30, 0), (5, 1.5)):
        settings = {"interval_s": interval_s, "calibration": {"offset": offset}}
        users.ask("ann", "PUT", f"sensors/{device}/4/ds18b20", settings)
    for runtime_s in (0, 600):
        users.ask("bob", "PUT", f"actuators/{device}/25", {"actuator_type": "pump", "max_runtime_s": runtime_s})
    users.ask("bob", "PATCH", f"actuators/{device}/25", {"name": "Pump of bed 1"})
    users.ask("bob", "POST", "zones", {"zone_id": device.lower(), "name": "East"})
    users.ask("bob", "PATCH", f"zones/{device.lower()}", {"name": "Greenhouse, east"})
    users.ask("bob", "PATCH", f"esp/devices/{device}", {"name": "Greenhouse east"})
    users.ask("bob", "POST", f"actuators/{device}/25/command", {"command": "OFF", "reason": "tried", "queue": True})
    users.ask("bob", "POST", "actuators/emergency_stop", {"esp_id": device, "gpio": 25, "reason": "water"})
    users.ask("bob", "POST", "actuators/clear_emergency", {"esp_id": device, "gpio": 25, "reason": "dry"})
    users.ask("bob", "POST", "debug/mock-esp", {"esp_id": mock, "auto_start": False})
    users.ask("bob", "PUT", f"debug/mock-esp/{mock}/faults", {"offline": True})
    for name in ("Ops", "Night shift"):
        users.ask(
            "admin", "PUT", f"notifications/channels/{channel}", {"name": name, "url": "json://127.0.0.1:9/secret"}
        )
    users.ask("admin", "PUT", f"auth/users/{users.names['ann']}", {"role": "viewer"})
    users.ask("bob", "DELETE", f"logic/rules/{rule_id}")
    users.ask("bob", "DELETE", f"logic/rules/{rule_id}", status=404)
    return rule_id


def test_the_audit_comes_in_pages_and_as_a_table_and_a_viewer_may_not_see_it(stack: Stack, users: Users):
    [device] = stack.register(1)
    for number in range(4):
        users.ask("bob", "PUT", f"alarms/limits/{device}/4/ds18b20", {"hi": 20 + number})
    users.one(actor=users.names["bob"], service="alarm", outcome="done")
    users.ask("admin", "PUT", f"auth/users/{users.names['ann']}", {"role": "viewer"})
    wait_until(lambda: users.clients["ann"].get("/api/v1/audit").status_code in (401, 403), "ann is a viewer now")
    query = {"actor": users.names["bob"], "limit": 2}
    wait_until(lambda: len(users.audit(**{**query, "limit": 100})) == 5, "all are there, with the sign-in")
    whole = users.audit(**{**query, "limit": 100})
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while cursor or not pages:
        page = users.clients["admin"].get("/api/v1/audit", params=query | cursor).raise_for_status().json()
        pages += page["items"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
    assert [(one["service"], one["id"]) for one in pages] == [(one["service"], one["id"]) for one in whole]
    assert {one["service"] for one in users.audit("bob", **query)} == {"alarm"}, "sign-ins are the administrator's"
    table = users.clients["admin"].get("/api/v1/audit", params={**query, "format": "csv"})
    assert [row["action"] for row in csv.DictReader(io.StringIO(table.text))] == [one["action"] for one in whole[:2]]
    assert table.headers["Kaiser-Next-Cursor"]


def test_a_change_is_in_the_audit_though_health_was_killed(stack: Stack, users: Users):
    [device] = stack.register(1)
    stack.kill("health")
    users.ask("ann", "PUT", f"alarms/limits/{device}/4/ds18b20", {"hi": 20})

    def entries() -> list[dict[str, Any]]:
        answer = users.clients["admin"].get("/api/v1/audit", params={"target": f"{device}/4/ds18b20"})
        found = answer.json()["items"] if answer.is_success else []
        return [one for one in found if one["outcome"] == "done"]

    wait_until(entries, "health is back and has it", 120.0)
    assert len(entries()) == 1
