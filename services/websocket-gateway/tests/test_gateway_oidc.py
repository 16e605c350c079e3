"""Tokens of an OpenID Connect issuer: which are taken, and which never."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from types import SimpleNamespace

import pytest
from gateway_issuer import AUDIENCE, FakeIssuer
from kaiser_gateway.domain import oidc
from kaiser_gateway.domain.limits import Limiter
from kaiser_gateway.domain.oidc import Terms
from kaiser_gateway.domain.tokens import NotAllowed, Signer, TokenRefused
from kaiser_gateway.http import discovery
from kaiser_gateway.http import issuer as issuer_module
from kaiser_gateway.http.auth import Guard
from kaiser_gateway.http.issuer import Issuer, IssuerUnreachable

KEY = "test-key-test-key-test-key-test-key-test"


@pytest.fixture
def fake():
    fake = FakeIssuer().start()
    fake.add_key("first")
    yield fake
    fake.stop()


def terms_of(fake: FakeIssuer, **changes) -> Terms:
    return Terms(fake.url, AUDIENCE, **changes)


def guard_of(fake: FakeIssuer, **changes) -> Guard:
    return Guard(Signer(KEY), Limiter(100, 100), Issuer(terms_of(fake, **changes)))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(fake: FakeIssuer, header: dict, key: bytes) -> str:
    """A token signed by HMAC with whatever bytes, made by hand since libraries refuse to."""
    claims = {"iss": fake.url, "aud": AUDIENCE, "sub": "mallory", "exp": int(time.time()) + 60, "roles": ["admin"]}
    text = f"{part(header)}.{part(claims)}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA", "RS256"), ("RSA", "PS512"), ("EC", "ES256"), ("OKP", "EdDSA")])
async def test_a_token_of_the_issuer_says_who_and_with_which_role(fake, kind, algorithm):
    fake.add_key("other", kind)
    identity = await guard_of(fake).verify(fake.token("other", algorithm))
    assert (identity.user, identity.role) == ("grace", "operator")


async def test_our_tokens_and_the_issuers_are_taken_side_by_side(fake):
    guard = guard_of(fake)
    ours = Signer(KEY).sign("ada", "viewer", "access", time.time(), 60)
    assert (await guard.verify(ours)).user == "ada"
    assert (await guard.verify(fake.token("first"))).user == "grace"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-api"},
        {"aud": None},
        {"exp": None},
        {"exp": 1000},
        {"exp": "soon"},
        {"nbf": 4_000_000_000},
        {"sub": None},
    ],
)
async def test_a_token_that_does_not_meet_the_terms_is_refused(fake, claims):
    with pytest.raises(TokenRefused):
        await guard_of(fake).verify(fake.token("first", **claims))


async def test_a_public_key_never_verifies_an_hmac(fake):
    for header in ({"alg": "HS256", "kid": "first"}, {"alg": "HS256"}):
        with pytest.raises(TokenRefused, match="HS256"):
            await guard_of(fake).verify(forged(fake, header, fake.public_pem("first")))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS512", "RS1", None])
async def test_no_other_algorithm_is_taken(fake, algorithm):
    with pytest.raises(TokenRefused):
        await guard_of(fake).verify(forged(fake, {"alg": algorithm, "kid": "first"}, b""))


async def test_our_key_makes_no_tokens_of_the_issuer_and_the_issuers_key_none_of_ours(fake):
    guard = guard_of(fake)
    with pytest.raises(TokenRefused):
        await guard.verify(forged(fake, {"alg": "HS256"}, KEY.encode()))
    with pytest.raises(TokenRefused):
        await guard.verify(fake.token("first", iss="kaiser", role="admin", use="access"))


async def test_a_key_of_another_type_or_for_another_use_does_not_fit(fake):
    token = fake.token("first")
    key = fake.jwk("first")
    assert oidc.key_of(token, [key]) == key
    for changed in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "EC"}, {"kid": "another"}):
        assert oidc.key_of(token, [{**key, **changed}]) is None


@pytest.mark.parametrize(
    ("claim", "role"),
    [
        ("admin", "admin"),
        ("openid viewer", "viewer"),
        (["viewer", "operator"], "operator"),
        (["fleet-admins"], "admin"),
        (["somebody"], None),
        ([], None),
        (None, None),
        ({"admin": True}, None),
        ([["admin"]], None),
    ],
)
def test_the_highest_role_of_a_claim_counts(claim, role):
    assert oidc.role_in(claim, {"fleet-admins": "admin"}) == role


async def test_roles_and_names_may_lie_deeper(fake):
    guard = guard_of(fake, role_claim="realm_access.roles", user_claim="https://k.example/name")
    token = fake.token("first", realm_access={"roles": ["admin"]}, **{"https://k.example/name": "Grace"})
    identity = await guard.verify(token)
    assert (identity.user, identity.role) == ("Grace", "admin")


async def test_a_valid_token_without_a_role_is_not_allowed(fake):
    with pytest.raises(NotAllowed):
        await guard_of(fake).verify(fake.token("first", roles=["gardener"]))


async def test_a_rotated_key_is_fetched_when_a_token_names_it_and_one_taken_out_is_refused(fake, monkeypatch):
    monkeypatch.setattr(issuer_module, "_PAUSE_S", 0.0)
    guard = guard_of(fake)
    old = fake.token("first")
    await guard.verify(old)
    fake.add_key("second", "EC")
    fake.published.remove("first")
    assert (await guard.verify(fake.token("second", "ES256"))).user == "grace"
    with pytest.raises(TokenRefused):
        await guard.verify(old)


async def test_made_up_key_ids_do_not_become_requests_to_the_issuer(fake):
    guard = guard_of(fake)
    fake.add_key("unpublished", published=False)
    for _ in range(20):
        with pytest.raises(TokenRefused):
            await guard.verify(fake.token("unpublished"))
    assert len(fake.requests) == 2  # its description and its keys, once


async def test_many_tokens_at_once_fetch_the_keys_once(fake):
    guard = guard_of(fake)
    await asyncio.gather(*(guard.verify(fake.token("first")) for _ in range(20)))
    assert len(fake.requests) == 2


async def test_with_the_issuer_away_known_keys_serve_and_unknown_ones_are_told_to_wait(fake, monkeypatch):
    guard = guard_of(fake)
    token = fake.token("first")
    fake.stop()
    with pytest.raises(IssuerUnreachable):
        await guard.verify(token)
    started = time.monotonic()
    with pytest.raises(IssuerUnreachable):  # asked again only after a pause
        await guard.verify(token)
    assert time.monotonic() - started < 60
    ours = Signer(KEY).sign("ada", "viewer", "access", time.time(), 60)
    assert (await guard.verify(ours)).user == "ada"
    monkeypatch.setattr(issuer_module, "_PAUSE_S", 0.0)
    fake.start()
    await guard.verify(token)
    fake.stop()
    monkeypatch.setattr(issuer_module, "_FRESH_S", 0.0)
    assert (await guard.verify(token)).user == "grace"


async def test_a_known_key_serves_without_waiting_for_an_issuer_that_hangs(fake, monkeypatch):
    guard = guard_of(fake)
    token = fake.token("first")
    await guard.verify(token)
    fake.stop()
    for module in (discovery, issuer_module):
        monkeypatch.setattr(module, "TIMEOUT_S", 1e6)
    later = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 301)
    monkeypatch.setattr(issuer_module, "time", later)
    before = asyncio.all_tasks()
    with socket.create_server(("127.0.0.1", fake.port)) as hanging:
        hanging.setblocking(False)
        for _ in range(3):
            assert (await asyncio.wait_for(guard.verify(token), 60)).user == "grace"
        connection, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(hanging), 60)
        with connection:
            assert (await asyncio.wait_for(guard.verify(token), 60)).user == "grace"
            assert len(asyncio.all_tasks() - before) == 1  # the keys are asked for once, beside the requests
            await guard.aclose()
    assert asyncio.all_tasks() == before


async def test_keys_that_are_fetched_beside_a_request_serve_the_next(fake, monkeypatch):
    guard = guard_of(fake)
    old = fake.token("first")
    await guard.verify(old)
    fake.add_key("second", "EC")
    fake.published.remove("first")
    later = SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 301)
    monkeypatch.setattr(issuer_module, "time", later)
    await guard.verify(old)
    assert (await guard.verify(fake.token("second", "ES256"))).user == "grace"  # waits for those under way
    with pytest.raises(TokenRefused):
        await guard.verify(old)
    assert len(fake.requests) == 4


async def test_many_that_wait_for_an_issuer_wait_for_one_attempt(fake, monkeypatch):
    clock = SimpleNamespace(time=time.time, now=0.0, monotonic=lambda: clock.now)
    attempts = []

    async def fail(_: Terms) -> list:
        attempts.append(clock.now)
        clock.now += 6.0  # as long as the longest attempt, and longer than the pause
        await asyncio.sleep(0)
        raise TimeoutError

    monkeypatch.setattr(issuer_module, "time", clock)
    monkeypatch.setattr(issuer_module, "_fetch_keys", fail)
    guard, token = guard_of(fake), fake.token("first")
    results = await asyncio.gather(*(guard.verify(token) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {IssuerUnreachable}
    assert attempts == [0.0]


async def test_an_issuer_that_calls_itself_otherwise_is_not_believed(fake):
    other = fake.url.replace("127.0.0.1", "localhost")
    token = fake.token("first", iss=other)
    guard = Guard(Signer(KEY), Limiter(100, 100), Issuer(Terms(other, AUDIENCE)))
    with pytest.raises(IssuerUnreachable):
        await guard.verify(token)


async def test_the_gateway_takes_the_issuers_tokens_over_rest_and_websocket(start_gateway, fake, receive):
    gateway = start_gateway(
        KAISER_OIDC_ISSUER=fake.url, KAISER_OIDC_AUDIENCE=AUDIENCE, KAISER_OIDC_ROLES='{"fleet-admins":"admin"}'
    )
    asked = "/api/v1/sensors/data"  # 422 for whoever may ask, as the device is missing
    async with gateway.http(None) as http:

        async def status(token: str, path: str = asked) -> int:
            return (await http.get(path, headers={"Authorization": f"Bearer {token}"})).status_code

        assert await status(fake.token("first")) == 422
        assert await status(gateway.token("viewer")) == 422
        assert await status(fake.token("first", roles=["gardener"])) == 403
        assert await status(fake.token("first", lifetime_s=-60)) == 401
        assert await status(forged(fake, {"alg": "HS256", "kid": "first"}, fake.public_pem("first"))) == 401
        switch = await http.post(
            "/api/v1/system/mqtt/profile",
            json={"profile": "x"},
            headers={"Authorization": f"Bearer {fake.token('first', roles=['fleet-admins'])}"},
        )
        assert switch.status_code == 504  # an admin may, but nobody runs there
    async with gateway.connect(token=fake.token("first")) as websocket:
        await websocket.send('{"action":"ping"}')
        assert (await receive(websocket))["type"] == "pong"
    for claims, code in (({"roles": []}, 4003), ({"aud": "another"}, 4001)):
        async with gateway.connect(token=fake.token("first", **claims)) as websocket:
            await websocket.wait_closed()
            assert websocket.close_code == code


async def test_requests_to_the_issuer_carry_a_name_of_our_own(fake):
    await guard_of(fake).verify(fake.token("first"))
    assert fake.agents
    assert all(agent.startswith("Kaiser/") for agent in fake.agents)


@pytest.mark.parametrize("configured", ["https://id.example.org/realms/farm", "https://id.example.org/realms/farm/"])
@pytest.mark.parametrize("named", ["https://id.example.org/realms/farm", "https://id.example.org/realms/farm/"])
async def test_an_issuer_is_reached_at_its_inner_address_and_a_slash_makes_no_difference(fake, configured, named):
    fake.public = named
    terms = Terms(configured, AUDIENCE, inner_url=f"{fake.url}/")
    identity = await Guard(Signer(KEY), Limiter(100, 100), Issuer(terms)).verify(fake.token("first"))
    assert (identity.user, identity.role, identity.external) == ("grace", "operator", True)
    assert fake.requests == ["/.well-known/openid-configuration", "/keys"]


async def test_an_issuer_that_calls_itself_by_its_inner_address_inside_is_believed(fake):
    token = fake.token("first", iss="https://id.example.org")
    terms = Terms("https://id.example.org", AUDIENCE, inner_url=fake.url)
    assert (await Guard(Signer(KEY), Limiter(100, 100), Issuer(terms)).verify(token)).user == "grace"


async def test_the_key_set_may_be_named_without_discovery(fake):
    fake.public = "https://id.example.org"
    terms = Terms("https://id.example.org", AUDIENCE, jwks_url=f"{fake.url}/keys")
    await Guard(Signer(KEY), Limiter(100, 100), Issuer(terms)).verify(fake.token("first"))
    assert fake.requests == ["/keys"]


async def test_a_token_of_another_issuer_is_401_with_its_name_and_one_line_in_the_log(start_gateway, fake, tmp_path):
    log = tmp_path / "gateway.log"
    gateway = start_gateway(log, KAISER_OIDC_ISSUER=fake.url, KAISER_OIDC_AUDIENCE=AUDIENCE)
    token = fake.token("first", iss="https://other.example.org")
    async with gateway.http(None) as http:
        for _ in range(5):
            answer = await http.get("/api/v1/sensors/data", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "tokens of the issuer 'https://other.example.org' are not accepted here"
    lines = [line for line in log.read_text().splitlines() if "token_of_another_issuer" in line]
    assert len(lines) == 1
    assert "KAISER_OIDC_ISSUER" in lines[0]
    assert fake.url in lines[0]
