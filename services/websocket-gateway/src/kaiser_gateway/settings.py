"""Settings of the gateway."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from kaiser_common.contract.rpc import Role
from kaiser_common.contract.time_zones import zone_problem
from kaiser_common.runtime.settings import CommonSettings
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from kaiser_gateway.domain.oidc import Terms
from kaiser_gateway.domain.oidc_flow import ConsoleClient


class GatewaySettings(CommonSettings):
    """Beside the common ones: the public address, sign-in, and how much one client may take."""

    http_host: str = Field(default="127.0.0.1", description="Address of REST, WebSocket and console.")
    http_port: int = Field(default=8000, ge=0, le=65535, description="Port of REST, WebSocket and console.")
    admin_user: str = Field(default="admin", min_length=1, description="Name of the first administrator.")
    admin_password: SecretStr = Field(
        default=SecretStr(""), description="The administrator's password; empty: the file admin-password in state_dir."
    )
    admin_password_file: Path | None = Field(default=None, description="File that holds the administrator's password.")
    token_secret: SecretStr = Field(default=SecretStr(""), description="Key that signs tokens, 32 characters or more.")
    token_secret_file: Path | None = Field(
        default=None, description="File that holds that key; default: token-secret in state_dir."
    )
    token_minutes: int = Field(default=60, ge=1, description="Life of an access token.")
    refresh_days: int = Field(default=14, ge=1, description="Life of a refresh token.")
    login_per_minute: int = Field(default=10, ge=1, description="Failed sign-ins allowed for a name and address.")
    login_per_address: int = Field(
        default=30,
        ge=1,
        description="Failed sign-ins a minute from one address, over names not signed in there lately.",
    )
    login_per_name: int = Field(
        default=60,
        ge=1,
        description="Sign-ins a minute for one name: failed ones where it is not known, and right ones anywhere.",
    )
    request_per_second: float = Field(default=50.0, gt=0, description="Requests allowed to one user.")
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Proxies whose X-Forwarded-For is believed: addresses and networks, with commas between.",
    )
    http_per_address: int = Field(
        default=500,
        ge=1,
        description="Concurrent connections from one address without a valid token; trusted proxies are not limited.",
    )
    http_header_s: float = Field(
        default=10.0, gt=0, description="Time in which a request's headers must come; a silent connection ends then."
    )
    http_body_s: float = Field(default=20.0, gt=0, description="Time in which a request's body must come.")
    http_file_per_s: float = Field(
        default=65_536.0,
        gt=0,
        description="Least bytes a second, on average, at which an imported file must come, after that time.",
    )
    oidc_issuer: str = Field(
        default="", description="OpenID Connect issuer whose tokens are accepted too; empty: none."
    )
    oidc_audience: str = Field(default="", description="Audience that its tokens must name.")
    oidc_role_claim: str = Field(default="roles", description="Claim with the roles, such as realm_access.roles.")
    oidc_user_claim: str = Field(default="sub", description="Claim with the user's name.")
    oidc_roles: dict[str, Role] = Field(
        default={}, description='The issuer\'s names for our roles, such as {"fleet-admins":"admin"}.'
    )
    oidc_inner_url: str = Field(
        default="",
        description="Address at which the gateway reaches the issuer, where its public name leads elsewhere.",
    )
    oidc_jwks_url: str = Field(default="", description="Address of the issuer's key set; empty: found by discovery.")
    oidc_client_id: str = Field(
        default="", description="The console's client id at the issuer: its sign-in page offers the issuer; empty: not."
    )
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Secret of that client; empty: a public client, which has PKCE alone."
    )
    oidc_client_secret_file: Path | None = Field(default=None, description="File that holds that secret.")
    oidc_scope: str = Field(
        default="openid profile", description="Scopes that the console asks for; openid must be among them."
    )
    oidc_name: str = Field(
        default="", max_length=40, description="Name of the issuer on the sign-in page; empty: the host of its address."
    )
    time_zone: str = Field(
        default="",
        description="Time zone of the site for the console, such as Europe/Berlin; empty: that of each browser.",
    )
    cors_origins: list[str] = Field(default=[], description="Origins that browsers may call from; none by default.")
    ws_rate: float = Field(default=10.0, gt=0, description="Frames a second to a WebSocket client by default.")
    ws_max_rate: float = Field(default=5000.0, gt=0, description="Highest ?rate= that a client may ask for.")
    ws_client_bytes: int = Field(default=1_000_000, ge=10_000, description="Bytes that may wait for one client.")
    ws_stalled_s: float = Field(
        default=15.0, gt=0, description="Time after which a client that does not read is closed (4008)."
    )
    ws_max_clients: int = Field(
        default=5000, ge=1, description="Concurrent WebSocket clients; further ones are refused (1013)."
    )
    ws_per_user: int = Field(default=20, ge=1, description="Concurrent WebSocket clients of one user.")
    ws_messages: float = Field(default=10.0, gt=0, description="Messages a second that are read from one socket.")
    ws_viewers: int = Field(
        default=32, ge=1, description="Concurrent viewers of the message centre; further ones are refused (1013)."
    )
    vda5050_interfaces: tuple[str, ...] = Field(
        default=("uagv",), description="Interface names of VDA 5050 vehicles, JSON, the same as ingest's."
    )
    compat: bool = Field(
        default=False, description="Serve /compat/v1 too, in the forms of AutomationOne's frontend (docs/compat.md)."
    )
    ws_compression: bool = Field(default=False, description="permessage-deflate; about 0.5 MB a connection.")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, proxies: object) -> object:
        return [part.strip() for part in proxies.split(",") if part.strip()] if isinstance(proxies, str) else proxies

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, proxies: list[str]) -> list[str]:
        for proxy in proxies:
            ip_network(proxy)  # ValueError names the text that is not an address or network
        return proxies

    @field_validator("oidc_scope")
    @classmethod
    def _openid(cls, scope: str) -> str:
        if "openid" not in scope.split():
            raise ValueError("the scope openid is missing")
        return scope

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        problem = zone_problem(name)
        if problem:
            raise ValueError(problem)
        return name

    def oidc_client(self) -> ConsoleClient | None:
        """The console as a client of the issuer; None where people cannot sign in there."""
        if not (self.oidc_issuer and self.oidc_client_id):
            return None
        secret = self.oidc_client_secret.get_secret_value()
        if not secret and self.oidc_client_secret_file is not None:
            secret = self.oidc_client_secret_file.read_text().strip()
        name = self.oidc_name or urlsplit(self.oidc_issuer).hostname or self.oidc_issuer
        return ConsoleClient(self.oidc_client_id, name, secret, self.oidc_scope)

    def oidc_terms(self) -> Terms | None:
        """The requirements for the issuer's tokens; None without an issuer."""
        if not self.oidc_issuer:
            return None
        return Terms(
            self.oidc_issuer,
            self.oidc_audience,
            self.oidc_role_claim,
            self.oidc_user_claim,
            self.oidc_roles,
            self.oidc_inner_url,
            self.oidc_jwks_url,
        )

    def first_password(self) -> str:
        """The administrator's password; empty when none is set anywhere."""
        return self.admin_password.get_secret_value() or _text(
            self.admin_password_file, self.state_dir, "admin-password"
        )

    def signing_key(self) -> str:
        """The key that signs tokens; empty when none is set anywhere."""
        return self.token_secret.get_secret_value() or _text(self.token_secret_file, self.state_dir, "token-secret")


def _text(given: Path | None, state_dir: Path, name: str) -> str:
    path = given or state_dir / name
    return path.read_text().strip() if path.exists() else ""
