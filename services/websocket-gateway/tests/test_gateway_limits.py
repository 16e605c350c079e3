"""The limits of the public port where nothing is set: in the settings, in what is built from them, and in the docs."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from kaiser_gateway.domain.signing_in import KnownPlaces, SignInLimits
from kaiser_gateway.http import auth, connections, edge
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.standing import Standings

DEFAULTS = {
    "http_body_s": 20,
    "http_file_per_s": 65_536,
    "http_header_s": 10,
    "http_per_address": 500,
    "request_per_second": 50,
    "ws_per_user": 20,
    "ws_viewers": 32,
    "ws_messages": 10,
    "login_per_minute": 10,
    "login_per_address": 30,
    "login_per_name": 60,
}


@pytest.fixture
def settings(monkeypatch) -> GatewaySettings:
    """Of a gateway for which no limit is set."""
    for name in DEFAULTS:
        monkeypatch.delenv(f"KAISER_{name.upper()}", raising=False)
    return GatewaySettings()


def test_the_limits_of_the_public_port_are_in_force_without_any_setting(settings):
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert (settings.trusted_proxies, settings.cors_origins) == ([], [])
    mebibyte = 1024 * 1024
    sizes = [edge.MOST_BYTES, edge.MOST_BYTES_WITHOUT_TOKEN, edge.MOST_BYTES_OF_A_FILE, edge.MOST_BYTES_UNDER_WAY]
    assert sizes == [mebibyte, 16 * 1024, 512 * mebibyte, 16 * mebibyte]


def test_the_page_of_the_gateway_names_these_limits():
    page = (Path(__file__).parents[3] / "docs" / "websocket-gateway.md").read_text()
    table = page.partition("## The public port\n")[2].partition("\n## ")[0]
    named = {(name.lower(), int(value)) for name, value in re.findall(r"`KAISER_(\w+)` \((\d+)", table)}
    assert named == set(DEFAULTS.items())
    for line in (
        "| body | 1 MiB (16 KiB where no token is asked for)",
        "| file of a recording that is imported | 512 MiB,",
        "whose requests are not answered yet | 16 MiB |",
    ):
        assert line in table


def test_a_user_has_fifty_requests_a_second_and_a_hundred_in_a_burst(settings):
    limiter = auth.guard_of(settings, "k" * 40, Standings(None, None)).limiter  # type: ignore[arg-type]
    assert [limiter.wait_s("ada", 0.0) == 0 for _ in range(101)] == [True] * 100 + [False]
    assert limiter.wait_s("bea", 0.0) == 0
    assert [limiter.wait_s("ada", 1.0) == 0 for _ in range(51)] == [True] * 50 + [False]


def test_an_address_begins_five_hundred_connections_and_asks_a_thousand_times_in_a_burst(settings, monkeypatch):
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: 0.0))
    counted = connections.Connections(settings.http_per_address, settings.trusted_proxies, settings.http_header_s)
    assert sum(counted.may_begin("192.0.2.1") for _ in range(2000)) == 500
    assert sum(counted.may_ask("192.0.2.1") for _ in range(2000)) == 1000


def test_failed_sign_ins_have_the_limits_of_a_pair_an_address_and_a_name(settings):
    def taken(pairs) -> int:
        limits = SignInLimits(
            settings.login_per_minute, settings.login_per_address, settings.login_per_name, KnownPlaces()
        )
        return sum(limits.wait_s(name, address, 0.0) == 0 for name, address in pairs)

    assert taken([("ada", "192.0.2.1")] * 99) == 10
    assert taken([(f"user{number}", "192.0.2.1") for number in range(99)]) == 30
    assert taken([("ada", f"192.0.2.{number}") for number in range(99)]) == 60
