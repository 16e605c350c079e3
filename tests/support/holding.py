"""Holds requests of a page on their way, so that what somebody does meanwhile needs no slow server."""

from collections.abc import Iterator
from contextlib import contextmanager

from browser import Person
from harness import wait_until
from playwright.sync_api import Route


@contextmanager
def held(person: Person, url: str, method: str = "GET") -> Iterator[list[Route]]:
    """Requests of a method to an address wait; they go on with the end of the context, or once they are let go."""
    found: list[Route] = []
    ended = False

    def hold(route: Route) -> None:
        if route.request.method == method and not ended:
            found.append(route)
        else:
            route.fallback()

    person.page.route(url, hold)
    try:
        yield found
    finally:
        ended = True
        let_go(found)  # first: without its handler a route can no longer be let go
        person.page.unroute(url, hold)


def let_go(routes: list[Route]) -> None:
    """Let held requests go on."""
    for route in routes:
        route.continue_()
    routes.clear()


def until_held(person: Person, routes: list[Route]) -> None:
    """Wait until a request is held; routes are called while the page is asked."""
    wait_until(lambda: person.page.title() and routes, "the request is on its way")
