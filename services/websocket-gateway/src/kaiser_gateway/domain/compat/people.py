"""Translates the answers about sign-in and users into AutomationOne's form."""

from kaiser_gateway.domain.compat.common import Json

STATUS: Json = {
    "setup_required": False,
    "users_exist": True,
    "mqtt_auth_enabled": False,
    "mqtt_tls_enabled": False,
}
"""Kaiser has an administrator from its first start on."""
_LONG_AGO = "1970-01-01T00:00:00Z"


def tokens(answer: Json) -> Json:
    """The tokens of a sign-in."""
    return {name: answer[name] for name in ("access_token", "refresh_token", "token_type", "expires_in")}


def user(name: str, role: str) -> Json:
    """A user; Kaiser keeps neither mail address nor times of one."""
    return {
        "id": name,
        "username": name,
        "email": "",
        "full_name": None,
        "role": role,
        "is_active": True,
        "created_at": _LONG_AGO,
        "updated_at": _LONG_AGO,
    }
