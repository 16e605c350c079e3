"""Facts that the console needs before anybody has signed in: the site's time zone, and how people sign in."""

from fastapi import APIRouter
from pydantic import BaseModel

from kaiser_gateway.settings import GatewaySettings


class ExternalSignIn(BaseModel):
    """An OpenID Connect issuer at which people can sign in; name: for the button."""

    name: str


class Site(BaseModel):
    """time_zone: an IANA name, null where each browser shows its own; sign_in: null for names and passwords alone."""

    time_zone: str | None
    sign_in: ExternalSignIn | None


def router(settings: GatewaySettings) -> APIRouter:
    """GET /api/v1/site; it needs no token."""
    routes = APIRouter(prefix="/api/v1", tags=["sign-in"])
    client = settings.oidc_client()
    site = Site(
        time_zone=settings.time_zone or None, sign_in=ExternalSignIn(name=client.name) if client is not None else None
    )

    @routes.get("/site")
    async def read_site() -> Site:
        """The site's time zone, and the issuer at which people can sign in."""
        return site

    return routes
