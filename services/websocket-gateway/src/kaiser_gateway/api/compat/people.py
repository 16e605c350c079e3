"""Routes of sign-in and of the signed-in user, in AutomationOne's form."""

from typing import Any

from fastapi import APIRouter, Request

from kaiser_gateway.api.compat.asking import Given, Own
from kaiser_gateway.api.compat.own import refused
from kaiser_gateway.domain.compat import people
from kaiser_gateway.domain.compat.common import Json
from kaiser_gateway.http.auth import Guard


def router(guard: Guard) -> APIRouter:
    """/compat/v1/auth."""
    routes = APIRouter(prefix="/compat/v1/auth")
    viewer: Any = guard.needs("viewer")

    @routes.get("/status")
    async def read_status() -> Json:
        return people.STATUS

    @routes.post("/login")
    async def login(body: Given, own: Own) -> Json:
        name = str(body.get("username", ""))
        answer = await own.form("/auth/token", {"username": name, "password": str(body.get("password", ""))})
        return {
            "success": True,
            "message": "signed in",
            "tokens": people.tokens(answer),
            "user": people.user(name, answer["role"]),
        }

    @routes.post("/setup")
    async def setup() -> Json:
        raise refused(403, "Kaiser has its administrator from its settings: KAISER_ADMIN_PASSWORD")

    @routes.post("/refresh")
    async def refresh(body: Given, own: Own) -> Json:
        answer = await own.ask("POST", "/auth/refresh", body={"refresh_token": str(body.get("refresh_token", ""))})
        return {"success": True, "message": "renewed", "tokens": people.tokens(answer)}

    @routes.get("/me")
    async def read_me(request: Request, caller: Any = viewer) -> Json:
        return people.user(caller.user, caller.role)

    @routes.post("/logout")
    async def logout(caller: Any = viewer) -> Json:
        return {"success": True, "message": "signed out"}

    return routes
