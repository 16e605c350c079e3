"""The REST API: one router a resource, answered by the owning service.

A module has `router(bus, guard) -> APIRouter`. A route takes its body or query as the model of schemas/api, demands a
role by `guard.needs("viewer")`, and returns what `call(bus, service, method, request, Answer, caller=caller)` gives:

    @routes.get("/things/{esp_id}")
    async def read(esp_id: str, caller: Caller = viewer) -> Thing:
        return await call(bus, "owner", "read", ThingId(esp_id=esp_id), Thing, caller=caller)

Errors need no code there: RpcError (also 504 with 5403 for a service that is down), bad input and missing rights become
problem+json in problems.py. Add a new module to ROUTERS in handlers.py.
"""
