"""REST in the forms of AutomationOne's server, at /compat/v1: off unless KAISER_COMPAT is set.

Each route asks Kaiser's own API in this process, with the caller's token: roles, limits and refusals are that API's.
"""

from fastapi import FastAPI

from kaiser_gateway.api.compat import devices, measured, mocks, own, people, rules
from kaiser_gateway.http.auth import Guard


def add(app: FastAPI, guard: Guard) -> None:
    """Add the routes; they are in no description, as nothing new is to be built on them."""
    own.install(app)
    for router in (people.router(guard), devices.router(), mocks.router(), measured.router(), rules.router()):
        app.include_router(router, include_in_schema=False)
