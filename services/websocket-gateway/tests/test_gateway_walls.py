"""The attacks of the security review, kept as tests: routes by role, forged tokens, hostile input, malformed frames."""

import asyncio
import base64
import json
import re
import secrets
import struct
import time

import httpx
import jwt
import pytest
from claimed import holds
from kaiser_common.contract.wording import PATTERN_WORDS

KEY = "test-key-test-key-test-key-test-key-test"
PUBLIC = {
    ("get", "/api/asyncapi"),
    ("get", "/api/schemas/"),
    ("get", "/api/schemas/{kind}.json"),
    ("post", "/api/v1/auth/token"),
    ("post", "/api/v1/auth/refresh"),
    ("post", "/api/v1/auth/logout"),
    ("get", "/api/v1/system/status"),
    ("get", "/api/v1/site"),
    *(("post", f"/api/v1/auth/oidc/{step}") for step in ("begin", "finish", "refresh", "logout")),
}
ADMIN = {
    ("get", "/api/v1/auth/users"),
    ("put", "/api/v1/auth/users/{username}"),
    ("delete", "/api/v1/auth/users/{username}"),
    ("get", "/api/v1/auth/log"),
    ("post", "/api/v1/system/mqtt/profile"),
    ("post", "/api/v1/factory/environment"),
    ("put", "/api/v1/notifications/channels/{channel_id}"),
    ("delete", "/api/v1/notifications/channels/{channel_id}"),
    ("post", "/api/v1/notifications/channels/{channel_id}/test"),
    ("put", "/api/v1/notifications/routes/{route_id}"),
    ("delete", "/api/v1/notifications/routes/{route_id}"),
    ("delete", "/api/v1/recordings/{recording_id}"),
}


@pytest.fixture(scope="module")
def document(gateway) -> dict:
    return httpx.get(f"{gateway.base}/api/openapi.json", timeout=60).json()


@pytest.fixture(scope="module")
def operations(document) -> list[tuple[str, str]]:
    return [(verb, path) for path, verbs in document["paths"].items() for verb in verbs]


def filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: "4" if found[1] in ("gpio",) else "ESP_A", path)


async def statuses(gateway, operations, token: str | None) -> dict[tuple[str, str], int]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=gateway.base, headers=headers, timeout=60) as http:
        return {
            (verb, path): (
                await http.request(verb, filled(path), json={} if verb in ("post", "put", "patch") else None)
            ).status_code
            for verb, path in operations
        }


WITHOUT_TOKEN = [None, "broken", "a.b.c"]


@pytest.mark.parametrize("token", WITHOUT_TOKEN)
async def test_every_route_but_the_public_ones_is_401_without_a_valid_token(gateway, operations, token):
    assert len(operations) >= 72
    assert set(operations) >= PUBLIC | ADMIN
    holds("routes that need no token", len(PUBLIC))
    found = await statuses(gateway, [one for one in operations if one not in PUBLIC], token)
    assert {one: status for one, status in found.items() if status != 401} == {}


QUESTIONS = {("post", "/api/v1/messages/validate")}
"""They have a body and change nothing, so every role that may read may send them."""
OWN = {("post", "/api/v1/auth/password"), ("delete", "/api/v1/auth/sessions/{session}")}
"""They change what is the user's own; test_gateway_sessions.py asserts that another's is left alone."""


async def test_a_viewer_writes_nothing(gateway, operations):
    writes = [one for one in operations if one[0] != "get" and one not in PUBLIC | QUESTIONS | OWN]
    assert len(writes) >= 30
    found = await statuses(gateway, writes, gateway.token("viewer"))
    assert {one: status for one, status in found.items() if status != 403} == {}


CHECKED_BY_FACTORY = {"post /api/v1/factory/steering", "post /api/v1/factory/steering/preview"}
"""libs/factory's test_a_misspelt_field_is_refused: which fields there are depends on what is to be done."""
NAMED_BY_USERS = {
    "CalibrationModel.parameters",
    "CreateMockFactory.flows",
    "CreateMockFactory.layout",
    "DeviceCommand.params",
    "DevicePatch.metadata",
    "MockFactoryFaults.clock_offset_s",
    "RegisterDevice.metadata",
    "StartReplay.expect",
}
"""Objects whose fields have names of a user, a firmware or a layout; their size or number is bounded."""


async def test_an_operator_is_403_where_an_administrator_is_needed(gateway):
    found = await statuses(gateway, sorted(ADMIN), gateway.token("operator"))
    assert set(found.values()) == {403}


OPERATOR_READS = (
    "/api/v1/audit",
    "/api/v1/rejected",
    "/api/v1/debug/",
    "/api/v1/notifications/channels",
    "/api/v1/notifications/routes",
    "/api/v1/esp/devices/{esp_id}/messages",
)


async def test_each_role_is_refused_exactly_what_it_may_not_do(gateway, operations):
    ruled = [one for one in operations if one not in PUBLIC]
    writes_or_more = {
        (verb, path)
        for verb, path in ruled
        if (verb != "get" and (verb, path) not in QUESTIONS | OWN) or path.startswith(OPERATOR_READS)
    }
    refused = {"viewer": writes_or_more | ADMIN, "operator": ADMIN, "admin": set()}
    holds("requests to a route by a caller: three without a token, three roles", len(ruled) * (3 + len(WITHOUT_TOKEN)))
    for role, expected in refused.items():
        found = await statuses(gateway, ruled, gateway.token(role))
        assert {one for one, status in found.items() if status == 403} == expected, role
        assert 401 not in found.values()


def request_schemas(document, operations):
    """The schema of each JSON body, by the operation that takes it."""
    for verb, path in operations:
        for kind, content in document["paths"][path][verb].get("requestBody", {}).get("content", {}).items():
            if kind == "application/json":
                yield f"{verb} {path}", content["schema"]


def open_objects(document, schema, where, seen=frozenset()):
    """Where a schema, or one within it at any depth, takes fields that it does not name."""
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in seen:
        return
    if name:
        schema, where, seen = document["components"]["schemas"][name], name, seen | {name}
    if schema.get("type") == "object" and schema.get("additionalProperties", True) is not False:
        yield where
    within = [(field, each) for field, each in schema.get("properties", {}).items()]
    within += [("", each) for key in ("anyOf", "oneOf", "allOf", "prefixItems") for each in schema.get(key, [])]
    within += [("", schema[key]) for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for field, each in within:
        yield from open_objects(document, each, f"{where}.{field}" if field else where, seen)


def test_every_request_model_refuses_an_unknown_field(document, operations):
    """At the top and in each nested object."""
    bodies = request_schemas(document, operations)
    found = {where for name, schema in bodies for where in open_objects(document, schema, name)}
    assert found == CHECKED_BY_FACTORY | NAMED_BY_USERS


def test_every_pattern_of_a_request_has_words(document):
    text = json.dumps({"parameters": document["paths"], "schemas": document["components"]["schemas"]})
    patterns = {json.loads(f'"{found}"') for found in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text)}
    assert len(patterns) > 10
    assert {one for one in patterns if one not in PATTERN_WORDS} == set()


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


DAY_S = 86_400
"""The tokens are made when the tests are collected, and tried much later."""


def claims(**changed: object) -> dict:
    now = int(time.time())
    whole = {"iss": "kaiser", "sub": "ada", "role": "admin", "use": "access", "iat": now, "exp": now + DAY_S, "gen": 0}
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def signed(key: str = KEY, algorithm: str = "HS256", headers: dict | None = None, **changed: object) -> str:
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)


def unsigned(header: object, body: object = None, signature: str = "") -> str:
    return f"{part(header)}.{part(claims() if body is None else body)}.{signature}"


def resigned(body: bytes) -> str:
    """Any bytes as claims, with a signature that is right."""
    return jwt.api_jws.encode(body, KEY, algorithm="HS256")


GOOD = signed()
FORGED = {
    "none": unsigned({"alg": "none"}),
    "None": unsigned({"alg": "None"}),
    "nOnE": unsigned({"alg": "nOnE"}),
    "none, signed": unsigned({"alg": "none"}, signature=GOOD.rpartition(".")[2]),
    "no alg": unsigned({"typ": "JWT"}),
    "alg null": unsigned({"alg": None}),
    "alg list": unsigned({"alg": ["HS256"]}),
    "alg number": unsigned({"alg": 256}),
    "HS384": signed(algorithm="HS384"),
    "HS512": signed(algorithm="HS512"),
    "RS256 by name": unsigned({"alg": "RS256"}, signature=GOOD.rpartition(".")[2]),
    "ES256 by name": unsigned({"alg": "ES256"}, signature=GOOD.rpartition(".")[2]),
    "wrong key": signed("another-key-another-key-another-key-ano"),
    "key in other case": signed(KEY.upper()),
    "embedded jwk": signed("x" * 40, headers={"jwk": {"kty": "oct", "k": part(b"x" * 40)}}),
    "jku": signed("x" * 40, headers={"jku": "http://127.0.0.1:1/keys"}),
    "x5u": signed("x" * 40, headers={"x5u": "http://127.0.0.1:1/cert"}),
    "kid with a path": signed("x" * 40, headers={"kid": "../../../../dev/null"}),
    "kid with SQL": signed("x" * 40, headers={"kid": "' OR 1=1 --"}),
    "crit": signed(headers={"crit": ["kaiser"], "kaiser": 1}),
    "expired": signed(exp=int(time.time()) - 60),
    "exp zero": signed(exp=0),
    "no exp": signed(exp=None),
    "exp text": resigned(json.dumps(claims(exp="tomorrow")).encode()),
    "exp NaN": resigned(json.dumps(claims(exp=float("nan"))).encode()),
    "exp infinite": resigned(json.dumps(claims(exp=float("inf"))).encode()),
    "exp of 400 digits": resigned(json.dumps(claims(exp=10**400)).encode()),
    "exp list": resigned(json.dumps(claims(exp=[1])).encode()),
    "exp true": resigned(json.dumps(claims(exp=True)).encode()),
    "not valid yet": signed(nbf=int(time.time()) + DAY_S),
    "refresh token": signed(use="refresh"),
    "use unknown": signed(use="admin"),
    "no use": signed(use=None),
    "another issuer": signed(iss="https://id.example.org"),
    "no issuer": signed(iss=None),
    "no sub": signed(sub=None),
    "sub number": resigned(json.dumps(claims(sub=1)).encode()),
    "sub empty": signed(sub=""),
    "user unknown": signed(sub="nobody"),
    "another generation": signed(gen=1),
    "generation true": signed(gen=True),
    "generation text": signed(gen="0"),
    "no generation": signed(gen=None),
    "claims are a list": resigned(b"[]"),
    "claims are text": resigned(b'"ada"'),
    "claims are no JSON": resigned(b"{"),
    "claims nest deeply": resigned(b'{"sub":' + b"[" * 5000),
    "claims are no UTF-8": resigned(b"\xff\xfe{}"),
    "truncated": GOOD[:-4],
    "no signature": GOOD.rpartition(".")[0] + ".",
    "claims changed": ".".join((GOOD.split(".")[0], part(claims(sub="bea")), GOOD.split(".")[2])),
    "two parts": GOOD.rpartition(".")[0],
    "four parts": f"{GOOD}.x",
    "60 kB": GOOD + "A" * 60_000,
    "dots": "..",
    "spaces": "a b c",
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_or_odd_token_is_401(gateway, name):
    async with gateway.http(None) as http:
        headers = {"Authorization": f"Bearer {FORGED[name]}"}
        read = await http.get("/api/v1/sensors/data", headers=headers)
        write = await http.post("/api/v1/actuators/emergency_stop", json={}, headers=headers)
    assert (read.status_code, write.status_code) == (401, 401)
    assert read.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("role", [None, "root", "", ["admin"], {"a": 1}, 2])
async def test_a_token_without_one_of_the_roles_is_403(gateway, role):
    async with gateway.http(None) as http:
        token = resigned(json.dumps(claims(role=role)).encode())
        answer = await http.get("/api/v1/sensors/data", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_as_many_tokens_are_tried_as_the_page_says():
    holds("forged and malformed tokens", len(FORGED))


async def test_the_token_that_the_forged_ones_are_made_from_is_good(gateway):
    async with gateway.http(None) as http:
        answer = await http.get("/api/v1/sensors/data", headers={"Authorization": f"Bearer {GOOD}"})
    assert answer.status_code == 422


@pytest.mark.parametrize("name", ["none", "wrong key", "expired", "refresh token", "user unknown", "exp text"])
async def test_a_forged_token_opens_no_socket(gateway, name):
    async with gateway.connect(token=FORGED[name]) as websocket:
        await websocket.wait_closed()
    assert websocket.close_code == 4001


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    first = (0x80 if final else 0) | reserved << 4 | opcode
    size, mask = len(payload), 0x80 if masked else 0
    length = bytes([mask | size]) if size < 126 else bytes([mask | 127]) + struct.pack("!Q", size)
    return bytes([first]) + length + (b"\0\0\0\0" if masked else b"") + payload


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """The bytes until the end, or until the reset of a server that does not take the rest of what is sent."""
    found = b""
    try:
        while part := await reader.read(1000):
            found += part
    except ConnectionError:
        pass
    return found


MALFORMED = {
    "no mask": (frame(1, b"{}", masked=False), 1002),
    "reserved bit": (frame(1, b"{}", reserved=4), 1002),
    "reserved opcode": (frame(3, b"{}"), 1002),
    "long ping": (frame(9, b"x" * 200), 1002),
    "ping in parts": (frame(9, b"x", final=False), 1002),
    "continuation of nothing": (frame(0, b"x"), 1002),
    "no UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "too large": (frame(1, b"x" * 65_600), 1009),
    "close code 999": (frame(8, struct.pack("!H", 999)), 1002),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_frame_closes_its_socket_and_nothing_else(gateway, settled, name):
    data, code = MALFORMED[name]
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    path = gateway.url(secrets.token_hex(4)).partition(f":{gateway.port}")[2]
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with gateway.connect(secrets.token_hex(4)) as other:
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            answer = await all_of(reader)
        writer.close()
        assert struct.pack("!H", code) in answer
        await settled(other)


ODD = [
    "",
    "null",
    "[]",
    "1",
    '"ping"',
    "{",
    '{"action":"launch"}',
    '{"action":["ping"]}',
    '{"action":"resume","after":-1}',
    '{"action":"resume","after":1e400}',
    '{"action":"subscribe","filters":{"types":["x"]}}',
    '{"action":"subscribe","filters":{"topics":["a/#/b"]}}',
    '{"action":"subscribe","filters":' + "[" * 5000,
]


@pytest.mark.parametrize("text", ODD)
async def test_an_odd_message_is_answered_as_an_error(gateway, receive, text):
    async with gateway.connect(secrets.token_hex(4)) as websocket:
        await websocket.send(text)
        assert (await receive(websocket, "error"))["data"]["code"] == 5206


OPTIONAL = ("/api/v1/factory/", "/api/v1/messages", "/api/v1/recordings", "/api/v1/replays")
"""Answered by what a site need not have."""
HOSTILE = [
    "\0",
    "a\0b",
    "' OR 1=1 --",
    "../../etc/passwd",
    "%00",
    "\ud7ff",
    "😀" * 200,
    "9" * 400,
    "-1",
    "1e400",
    "NaN",
]


async def test_hostile_strings_in_queries_and_paths_are_no_server_error(gateway, document):
    """Every query parameter of every GET and every part of its path; 504: valid, but its service is not there, 503: nor
    need a site have it."""

    def absent(path: str) -> tuple[int, ...]:
        return (503, 504) if path.startswith(OPTIONAL) else (504,)

    tried = 0
    async with gateway.http("admin") as http:
        for path, verbs in document["paths"].items():
            if "get" not in verbs or path == "/api/v1/system/status":
                continue
            for value in HOSTILE:
                for parameter in verbs["get"].get("parameters", []):
                    if parameter["in"] == "query":
                        tried += 1
                        answer = await http.get(filled(path), params={parameter["name"]: value})
                        assert answer.status_code in (200, 404, 409, 422, *absent(path)), (
                            path,
                            parameter["name"],
                            value,
                        )
                if "{" in path:
                    quoted = re.sub(r"{\w+}", httpx.QueryParams({"": value}).__str__()[1:], path)
                    tried += 1
                    answer = await http.get(quoted)
                    assert answer.status_code in (200, 400, 404, 405, 422, *absent(path)), (quoted, answer.text)
    holds("hostile strings in a query or a path", tried)


async def test_hostile_bodies_are_no_server_error(gateway, document):
    tried, odd = 0, [None, True, -1, 2**63, 1.5, "", "\0", "x" * 5000, [], {}, [[]], {"a": {}}]
    async with gateway.http("admin") as http:
        for path, verbs in document["paths"].items():
            for verb, operation in verbs.items():
                if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                    continue
                name = operation["requestBody"]["content"]["application/json"]["schema"].get("$ref", "")
                fields = document["components"]["schemas"].get(name.rpartition("/")[2], {}).get("properties", {})
                bodies = [*odd, *({field: value} for field in fields for value in ("\0", -1, 2**63, []))]
                for body in bodies:
                    tried += 1
                    answer = await http.request(verb, filled(path), json=body)
                    assert answer.status_code in (200, 401, 400, 404, 409, 422, 503, 504), (
                        verb,
                        path,
                        body,
                        answer.text,
                    )
    holds("hostile bodies", tried)


def test_as_many_frames_and_messages_are_tried_as_the_page_says():
    holds("malformed WebSocket frames", len(MALFORMED))
    holds("odd WebSocket messages", len(ODD))


async def test_half_a_surrogate_pair_is_no_server_error(gateway, document):
    """Valid JSON, but no text: nothing can be made of it in UTF-8."""
    half = "\ud800"
    async with gateway.http("admin") as http:
        for path, verbs in document["paths"].items():
            for verb, operation in verbs.items():
                if "application/json" not in operation.get("requestBody", {}).get("content", {}):
                    continue
                name = operation["requestBody"]["content"]["application/json"]["schema"].get("$ref", "")
                fields = document["components"]["schemas"].get(name.rpartition("/")[2], {}).get("properties", {})
                bodies = [half, {half: 1}, {"kind": "order", "x": half}, *({field: half} for field in fields)]
                for body in [*bodies, dict.fromkeys(fields, half)]:
                    answer = await http.request(
                        verb, filled(path), content=json.dumps(body), headers={"Content-Type": "application/json"}
                    )
                    assert answer.status_code in (400, 401, 404, 409, 422, 503, 504), (verb, path, answer.text)
