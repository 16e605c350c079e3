"""An OpenID Connect issuer on 127.0.0.1: discovery, a key set that can rotate, and tokens; tests can take it down."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "kaiser-api"


class FakeIssuer:
    """Keys are kept by kid; `published` says which of them the key set shows."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.published: list[str] = []
        self.requests: list[str] = []
        self.agents: list[str] = []
        self.tokens: dict[str, Any] = {}
        """The answer of its token endpoint."""
        self.token_status = 200
        self.user_info: dict[str, Any] = {}
        self.posts: list[tuple[str, dict[str, str], str]] = []
        """Path, form and Authorization of each POST."""
        self.public = ""
        """The name that it gives itself, if that is not its address."""
        self.server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "FakeIssuer":
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent = self.headers.get("User-Agent", "")
                if agent.startswith(("Python-urllib", "python-httpx")):  # as web firewalls do
                    self.send_error(403)
                    return
                issuer.requests.append(self.path)
                issuer.agents.append(agent)
                body = json.dumps(issuer._answer(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(text).items()}
                issuer.posts.append((self.path, form, self.headers.get("Authorization", "")))
                body = json.dumps(issuer.tokens).encode()
                self.send_response(issuer.token_status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def add_key(self, kid: str, kind: str = "RSA", *, published: bool = True) -> None:
        make = {
            "RSA": lambda: rsa.generate_private_key(65537, 2048),
            "EC": lambda: ec.generate_private_key(ec.SECP256R1()),
            "OKP": ed25519.Ed25519PrivateKey.generate,
        }[kind]
        self.keys[kid] = make()
        if published:
            self.published.append(kid)

    def public_pem(self, kid: str) -> bytes:
        pem: bytes = self.keys[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def jwk(self, kid: str) -> dict[str, Any]:
        key = self.keys[kid].public_key()
        kinds: dict[type, Any] = {
            rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
            ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
        }
        algorithm = next(algorithm for kind, algorithm in kinds.items() if isinstance(key, kind))
        return {**algorithm.to_jwk(key, as_dict=True), "kid": kid, "use": "sig"}

    def token(self, kid: str, algorithm: str = "RS256", lifetime_s: float = 300, **claims: object) -> str:
        now = time.time()
        body = {
            "iss": self.public or self.url,
            "aud": AUDIENCE,
            "sub": "grace",
            "iat": int(now),
            "exp": int(now + lifetime_s),
            "roles": ["operator"],
            **claims,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, self.keys[kid], algorithm=algorithm, headers={"kid": kid})

    def _answer(self, path: str) -> dict[str, Any]:
        if path.endswith("/openid-configuration"):
            name = (self.public or self.url).rstrip("/")
            endpoints = {
                "authorization_endpoint": "authorize",
                "token_endpoint": "token",
                "userinfo_endpoint": "me",
                "revocation_endpoint": "revoke",
                "end_session_endpoint": "end",
            }
            addresses = {endpoint: f"{name}/{path}" for endpoint, path in endpoints.items()}
            return {"issuer": self.public or self.url, "jwks_uri": f"{name}/keys", **addresses}
        if path == "/me":
            return self.user_info
        return {"keys": [self.jwk(kid) for kid in self.published]}
