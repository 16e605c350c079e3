"""Sign-in, renewal and sign-out."""

from pydantic import BaseModel, ConfigDict

from kaiser_client.call import Call
from kaiser_client.tokens import GivenTokens


class RefreshBody(BaseModel):
    """The refresh token of the last sign-in or renewal."""

    model_config = ConfigDict(frozen=True)

    refresh_token: str


def sign_in(username: str, password: str) -> Call[GivenTokens]:
    """Sign in. 401: wrong name or password; 429: too many failed tries."""
    form = {"username": username, "password": password}
    return Call("POST", "/api/v1/auth/token", GivenTokens, form=form, is_open=True)


def refresh_sign_in(refresh_token: str) -> Call[GivenTokens]:
    """New tokens; the refresh token is used up. 401: the sign-in has ended."""
    body = RefreshBody(refresh_token=refresh_token)
    return Call("POST", "/api/v1/auth/refresh", GivenTokens, body=body, is_open=True)


def sign_out(refresh_token: str) -> Call[None]:
    """End a sign-in; its access token still works until it expires."""
    return Call("POST", "/api/v1/auth/logout", type(None), body=RefreshBody(refresh_token=refresh_token), is_open=True)
