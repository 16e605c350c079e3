"""The sign-in at an issuer: what is sealed, what is compared, and what an issuer's answers become."""

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from gateway_issuer import AUDIENCE, FakeIssuer
from kaiser_common.contract.time_zones import zone_problem
from kaiser_common.runtime.database import open_pool
from kaiser_common.runtime.settings import CommonSettings
from kaiser_gateway.domain import oidc_flow
from kaiser_gateway.domain.oidc import Terms
from kaiser_gateway.domain.oidc_flow import ConsoleClient, ExternalSession, Flow, Seals
from kaiser_gateway.domain.tokens import NotAllowed, Signer, TokenRefused
from kaiser_gateway.http.issuer import Issuer, IssuerUnreachable
from kaiser_gateway.http.oidc_client import OidcClient
from kaiser_gateway.settings import GatewaySettings
from kaiser_gateway.store.sessions import Sessions

HOME = "https://kaiser.example.org/"
FLOW = Flow("the-state", "the-nonce", "the-verifier", HOME)
SESSION = ExternalSession("grace", "family", "refresh", "id-token")
SEALS = Seals("k" * 40)
NOW = 1_800_000_000.0


def test_the_address_of_the_issuer_has_all_that_pkce_and_openid_ask_for():
    client = ConsoleClient("kaiser-console", "Farm ID", scope="openid roles")
    url = oidc_flow.authorization_url("https://id.example.org/authorize?tenant=1", client, FLOW)
    challenge = urlsafe_b64encode(hashlib.sha256(b"the-verifier").digest()).rstrip(b"=").decode()
    assert url.startswith("https://id.example.org/authorize?tenant=1&")
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["kaiser-console"],
        "redirect_uri": [HOME],
        "scope": ["openid roles"],
        "state": ["the-state"],
        "nonce": ["the-nonce"],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
    }


@pytest.mark.parametrize(("content", "secret"), [("", ""), ("from the issuer\n", "from the issuer")])
def test_an_empty_file_of_the_clients_secret_is_that_of_a_public_client(tmp_path: Path, content: str, secret: str):
    """As `make secrets` makes it for containers."""
    (path := tmp_path / "oidc-client-secret").write_text(content)
    settings = GatewaySettings(oidc_issuer="https://id.example", oidc_client_id="console", oidc_client_secret_file=path)
    assert settings.oidc_client() == ConsoleClient("console", "id.example", secret)


def test_two_flows_share_no_value():
    one, other = asdict(oidc_flow.new_flow(HOME)), asdict(oidc_flow.new_flow(HOME))
    assert not {value for name, value in one.items() if name != "redirect_uri"} & set(other.values())
    assert all(len(value) >= 43 for value in one.values() if value != HOME)  # RFC 7636 §4.1


def test_what_is_sealed_comes_back_and_nobody_reads_it():
    sealed = SEALS.seal("flow", FLOW, NOW)
    assert SEALS.open_flow(sealed, NOW + 599) == FLOW
    assert "the-verifier" not in sealed
    assert SEALS.open_session(SEALS.seal("session", SESSION, NOW), NOW, 10) == SESSION


@pytest.mark.parametrize(
    "opened",
    [
        lambda: SEALS.open_flow(SEALS.seal("flow", FLOW, NOW), NOW + 601),
        lambda: SEALS.open_flow(SEALS.seal("session", SESSION, NOW), NOW),
        lambda: SEALS.open_session(SEALS.seal("flow", FLOW, NOW), NOW, 10),
        lambda: SEALS.open_flow(Seals("x" * 40).seal("flow", FLOW, NOW), NOW),
        lambda: SEALS.open_flow("gAAAA" + SEALS.seal("flow", FLOW, NOW)[5:-4] + "AAA=", NOW),
        lambda: SEALS.open_flow("ü", NOW),
        lambda: SEALS.open_flow("", NOW),
    ],
    ids=["expired", "another step", "yet another step", "of another gateway", "changed", "not ASCII", "empty"],
)
def test_what_is_not_sealed_here_for_this_step_and_time_is_refused(opened):
    with pytest.raises(TokenRefused):
        opened()


@pytest.mark.parametrize(
    ("state", "issuer"), [("another", None), ("", None), ("the-state", "https://evil.example"), ("ü", None)]
)
def test_an_answer_to_another_question_or_of_another_issuer_is_refused(state, issuer):
    with pytest.raises(TokenRefused):
        oidc_flow.require_answer(FLOW, state, issuer, "https://id.example.org")


def test_the_answer_to_the_flow_is_taken_with_the_issuers_name_or_without():
    for issuer in (None, "https://id.example.org", "https://id.example.org/"):
        oidc_flow.require_answer(FLOW, "the-state", issuer, "https://id.example.org")


@pytest.mark.parametrize("claims", [{}, {"nonce": "another"}, {"nonce": 1}, {"nonce": "the-nonce", "azp": "another"}])
def test_an_id_token_of_another_sign_in_or_client_is_refused(claims):
    with pytest.raises(TokenRefused):
        oidc_flow.require_nonce(claims, FLOW, "kaiser-console")


@pytest.fixture
def fake():
    fake = FakeIssuer().start()
    fake.add_key("first")
    yield fake
    fake.stop()


def client_at(fake: FakeIssuer, **changes) -> OidcClient:
    client = replace(ConsoleClient("kaiser-console", "Farm ID"), **changes)
    return OidcClient(Issuer(Terms(fake.url, AUDIENCE)), client)


def id_token(fake: FakeIssuer, **claims) -> str:
    return fake.token("first", **{"aud": "kaiser-console", "nonce": "the-nonce", **claims})


async def test_a_code_becomes_a_user_and_the_verifier_is_sent_along(fake):
    fake.tokens = {"id_token": id_token(fake), "access_token": "opaque", "refresh_token": "next"}
    grant = await client_at(fake).redeem("the-code", FLOW)
    assert (grant.identity.user, grant.identity.role, grant.refresh_token) == ("grace", "operator", "next")
    [(path, form, authorization)] = fake.posts
    assert (path, authorization) == ("/token", "")
    assert form == {
        "grant_type": "authorization_code",
        "code": "the-code",
        "redirect_uri": HOME,
        "code_verifier": "the-verifier",
        "client_id": "kaiser-console",
    }


async def test_a_confidential_client_names_itself_in_the_header(fake):
    fake.tokens = {"id_token": id_token(fake), "access_token": "opaque"}
    await client_at(fake, secret="s:cret").redeem("the-code", FLOW)
    assert fake.posts[0][2] == "Basic a2Fpc2VyLWNvbnNvbGU6cyUzQWNyZXQ="  # RFC 6749 §2.3.1: kaiser-console:s%3Acret


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"nonce": "another"}, TokenRefused),
        ({"aud": "another-client"}, TokenRefused),
        ({"exp": 1000}, TokenRefused),
        ({"iss": "https://evil.example"}, TokenRefused),
        ({"roles": ["guest"]}, NotAllowed),
    ],
)
async def test_an_id_token_that_does_not_fit_signs_nobody_in(fake, claims, error):
    fake.tokens = {"id_token": id_token(fake, **claims), "access_token": "opaque"}
    fake.user_info = {"sub": "grace"}
    with pytest.raises(error):
        await client_at(fake).redeem("the-code", FLOW)


async def test_a_role_that_only_the_userinfo_endpoint_tells_counts_if_it_is_of_the_same_user(fake):
    fake.tokens = {"id_token": id_token(fake, roles=None), "access_token": "opaque"}
    fake.user_info = {"sub": "grace", "roles": ["viewer"]}
    assert (await client_at(fake).redeem("the-code", FLOW)).identity.role == "viewer"
    fake.user_info = {"sub": "mallory", "roles": ["admin"]}
    with pytest.raises(TokenRefused, match="another user"):
        await client_at(fake).redeem("the-code", FLOW)


async def test_a_renewal_without_an_id_token_asks_for_the_role_of_now(fake):
    fake.tokens = {"access_token": "opaque"}
    fake.user_info = {"sub": "grace", "roles": ["viewer"]}
    session = ExternalSession("grace", "family", "the-refresh", id_token(fake))
    grant = await client_at(fake).renew(session)
    assert (grant.identity.role, grant.refresh_token, grant.id_token) == ("viewer", "the-refresh", session.id_token)
    fake.user_info = {"sub": "grace", "roles": []}
    with pytest.raises(NotAllowed):
        await client_at(fake).renew(session)


@pytest.mark.parametrize("is_signed", [True, False])
async def test_a_sign_in_with_a_long_id_token_is_renewed_with_an_id_token_and_without(fake, is_signed):
    fake.user_info = {"sub": "grace", "roles": ["viewer"]}
    fake.tokens = {"id_token": id_token(fake, groups=["g" * 9000]), "access_token": "opaque", "refresh_token": "next"}
    client = client_at(fake)
    first = await client.redeem("the-code", FLOW)
    fake.tokens = {"access_token": "opaque"} | ({"id_token": id_token(fake, roles=["viewer"])} if is_signed else {})
    grant = first
    for _ in range(2):
        sealed = SEALS.seal_session(ExternalSession("grace", "f", grant.refresh_token, "", grant.subject), NOW)
        grant = await client.renew(SEALS.open_session(sealed, NOW, 10))
        assert (grant.identity.user, grant.identity.role, grant.subject) == ("grace", "viewer", "grace")


async def test_userinfo_of_another_subject_renews_no_sign_in(fake):
    fake.tokens, fake.user_info = {"access_token": "opaque"}, {"sub": "mallory", "roles": ["admin"]}
    with pytest.raises(TokenRefused, match="another user"):
        await client_at(fake).renew(replace(SESSION, subject="grace"))


def test_a_session_sealed_before_its_subject_was_kept_is_opened():
    values = {"user": "grace", "family": "family", "refresh_token": "refresh", "id_token": "id-token"}

    @dataclass(frozen=True)
    class Older:
        user: str
        family: str
        refresh_token: str
        id_token: str

    assert SEALS.open_session(SEALS.seal("session", Older(**values), NOW), NOW, 10) == SESSION


@pytest.mark.parametrize(
    ("refresh", "hint", "kept"),
    [
        (3000, 4000, ("refresh_token", "id_token")),
        (8000, 4000, ("refresh_token",)),
        (12_000, 4000, ()),
        (12_000, 0, ()),
    ],
)
def test_a_sealed_session_is_never_longer_than_a_request_takes(refresh, hint, kept):
    session = ExternalSession("grace", "family", "r" * refresh, "i" * hint, "grace")
    sealed = SEALS.seal_session(session, NOW)
    assert len(sealed) <= oidc_flow.MOST_SEALED
    left_out = {name: "" for name in ("refresh_token", "id_token") if name not in kept}
    assert SEALS.open_session(sealed, NOW, 10) == replace(session, **left_out)
    with pytest.raises(TokenRefused):
        SEALS.seal_session(replace(session, user="u" * 12_000), NOW)


async def signed_in(post: Callable[..., Awaitable[httpx.Response]], fake: Any) -> str:
    """The refresh token of a new sign-in; `post` asks a path of the gateway's OIDC routes."""
    begun = (await post("begin", redirect_uri=HOME)).json()
    asked = parse_qs(urlsplit(begun["url"]).query)
    fake.tokens = {"id_token": id_token(fake, nonce=asked["nonce"][0]), "refresh_token": "of the issuer"}
    answer = await post("finish", flow=begun["flow"], state=asked["state"][0], code="the-code")
    assert answer.status_code == 200, answer.text
    return answer.json()["refresh_token"]


async def test_a_sign_in_that_somebody_signed_out_of_stays_ended_while_its_refresh_token_lives(
    start_gateway, database, fake
):
    settings = {
        "KAISER_OIDC_ISSUER": fake.url,
        "KAISER_OIDC_AUDIENCE": AUDIENCE,
        "KAISER_OIDC_CLIENT_ID": "kaiser-console",
    }
    gateway = start_gateway(**settings)
    gateway.wait_for_sign_in()
    async with gateway.http(None) as http:

        async def post(path: str, **body: str) -> httpx.Response:
            return await http.post(f"/api/v1/auth/oidc/{path}", json=body)

        ended, other = await signed_in(post, fake), await signed_in(post, fake)
        assert (await post("logout", refresh_token=ended, redirect_uri=HOME)).status_code == 200
    async with open_pool(CommonSettings(database_url=database), "test") as pool:
        async with pool.connection() as connection:
            await connection.execute("UPDATE gateway.ended_sessions SET ended_at = now() - interval '2 hours'")
        await Sessions(pool, 60, 14).drop_old()
    later = start_gateway(**settings)  # it has read no end of the last hour
    later.wait_for_sign_in()
    async with later.http(None) as http:
        for token, status in ((ended, 401), (other, 200)):
            answer = await http.post("/api/v1/auth/oidc/refresh", json={"refresh_token": token})
            assert answer.status_code == status, answer.text


async def test_failed_sign_ins_at_the_issuer_are_limited_by_address_and_renewals_by_sign_in(start_gateway, fake):
    """No limit holds up another address, another sign-in, or a sign-out."""
    gateway = start_gateway(
        KAISER_OIDC_ISSUER=fake.url,
        KAISER_OIDC_AUDIENCE=AUDIENCE,
        KAISER_OIDC_CLIENT_ID="kaiser-console",
        KAISER_LOGIN_PER_ADDRESS="4",
    )
    gateway.wait_for_sign_in()
    async with gateway.http(None) as http:

        async def post(path: str, **body: str) -> httpx.Response:
            others = {"X-Forwarded-For": f"203.0.113.{len(fake.posts)}"}
            return await http.post(f"/api/v1/auth/oidc/{path}", json=body, headers=others)

        async def until_limited(path: str, **body: str) -> list[int]:
            codes = []
            while 429 not in codes:
                assert len(codes) < 60, codes
                answer = await post(path, **body)
                codes.append(answer.status_code)
            assert 1 <= int(answer.headers["Retry-After"]) <= 16
            return codes

        one, other = await signed_in(post, fake), await signed_in(post, fake)
        for _ in range(8):
            assert (await post("begin", redirect_uri=HOME)).status_code == 200, "a begun sign-in does not count"
            await signed_in(post, fake)
        assert set((await until_limited("finish", flow="x", state="x", code="x"))[:-1]) == {401}
        assert (await post("begin", redirect_uri=HOME)).status_code == 429
        elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx.AsyncClient(base_url=gateway.base, transport=elsewhere, timeout=60) as at_another:
            begun = await at_another.post("/api/v1/auth/oidc/begin", json={"redirect_uri": HOME})
        assert begun.status_code == 200

        before = len(fake.posts)
        codes = await until_limited("refresh", refresh_token=one)
        assert codes[0] == 200, "the sign-ins at the address do not count here"
        assert len(fake.posts) - before == codes.count(200), "a renewal beyond the limit asks no issuer"
        assert (await post("refresh", refresh_token=other)).status_code == 200
        assert (await post("logout", refresh_token=one, redirect_uri=HOME)).status_code == 200
        assert (await post("refresh", refresh_token="x" * 100)).status_code == 401


async def test_a_renewal_for_another_user_is_refused(fake):
    fake.tokens = {"id_token": id_token(fake, sub="mallory"), "access_token": "opaque"}
    with pytest.raises(TokenRefused, match="another user"):
        await client_at(fake).renew(ExternalSession("grace", "family", "the-refresh", id_token(fake)))


async def test_the_issuers_refusal_is_told_and_an_issuer_that_is_away_is_another_matter(fake):
    fake.token_status, fake.tokens = 400, {"error": "invalid_grant", "error_description": "the code was used"}
    with pytest.raises(TokenRefused, match="the code was used"):
        await client_at(fake).redeem("the-code", FLOW)
    fake.token_status = 502
    with pytest.raises(IssuerUnreachable):
        await client_at(fake).redeem("the-code", FLOW)
    client = client_at(fake)
    fake.stop()
    with pytest.raises(IssuerUnreachable):
        await client.redeem("the-code", FLOW)


async def test_signing_out_gives_the_refresh_token_up_and_leads_to_the_issuers_page(fake):
    fake.tokens = {}
    url = await client_at(fake).end(SESSION, HOME)
    assert url is not None
    assert parse_qs(urlsplit(url).query) == {
        "client_id": ["kaiser-console"],
        "post_logout_redirect_uri": [HOME],
        "id_token_hint": ["id-token"],
    }
    assert fake.posts[0][1] == {"token": "refresh", "token_type_hint": "refresh_token", "client_id": "kaiser-console"}
    without = await client_at(fake).end(replace(SESSION, id_token=""), HOME)
    assert without is not None
    assert "id_token_hint" not in without
    client = client_at(fake)
    fake.stop()
    assert await client.end(SESSION, HOME) is None


def test_our_own_token_of_a_user_of_the_issuer_says_that_it_is_one():
    signer, now = Signer("k" * 40), time.time()
    token = signer.sign("grace", "operator", "access", now, 60, ext=1, fam="family")
    identity = signer.read(token, "access", now)
    assert (identity.external, identity.family, identity.generation) == (True, "family", None)
    assert not signer.read(signer.sign("ada", "admin", "access", now, 60, gen=1), "access", now).external


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", ""),
        ("Europe/Berlin", ""),
        ("UTC", ""),
        ("Europe/Berln", "'Europe/Berln' is no time zone of the IANA: is it Europe/Berlin?"),
        ("somewhere", "'somewhere' is no time zone of the IANA, such as Europe/Berlin"),
    ],
)
def test_the_name_of_a_time_zone_is_checked_and_the_nearest_one_named(name, problem):
    assert zone_problem(name) == problem
