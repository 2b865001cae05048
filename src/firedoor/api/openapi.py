"""The OpenAPI document of the control API, from the same types that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec

from firedoor.api import incident_shapes as cases
from firedoor.api import shapes
from firedoor.api.incidents import ACT_HEADER, STATES

_ROUTES: tuple[tuple[str, str, str, type | None, int, type], ...] = (
    ("get", "/control/v1/switches", "The switch table", None, 200, shapes.Switches),
    ("post", "/control/v1/switches/shut", "Shut a scope: one person", shapes.Asked, 200, shapes.Result),
    (
        "post",
        "/control/v1/switches/open",
        "Ask to open a scope: first person",
        shapes.Asked,
        202,
        shapes.WaitingRequest,
    ),
    (
        "post",
        "/control/v1/switches/end_drill",
        "Open what a drill shut: one person",
        shapes.Asked,
        200,
        shapes.Result,
    ),
    ("get", "/control/v1/hosts", "The hosts of the region", None, 200, shapes.Hosts),
    ("get", "/control/v1/requests", "Requests that wait for a second person", None, 200, shapes.Requests),
    (
        "post",
        "/control/v1/requests/{id}/approve",
        "Open as requested: second person",
        shapes.Approval,
        200,
        shapes.Result,
    ),
    ("get", "/control/v1/health", "How control is", None, 200, shapes.Health),
    ("get", "/control/v1/incidents", "The cases, the newest first", None, 200, cases.Listing),
    ("post", "/control/v1/incidents", "Open a case: one person", cases.Write, 201, cases.Written),
    ("get", "/control/v1/incidents/unsealed", "Cases that are not sealed yet", None, 200, cases.Unsealed),
    ("get", "/control/v1/incidents/{id}", "A case", None, 200, cases.Shown),
    ("get", "/control/v1/incidents/{id}/entries", "What happened, in order", None, 200, cases.Entries),
    ("post", "/control/v1/incidents/{id}/entries", "Write into a case: one person", cases.Write, 201, cases.Written),
    ("get", "/control/v1/incidents/{id}/clocks", "The clocks of a case", None, 200, cases.Clocks),
    ("get", "/control/v1/incidents/{id}/affected", "Who is affected by a case", None, 200, cases.Affected),
    ("get", "/control/v1/incidents/{id}/severity", "How severe a case is", None, 200, cases.Severity),
)
"""Method, path, what it does, body, status of success, answer."""

_AT = ("query", "at", "As it was known then: RFC 3339, 2026-11-23T04:00:00Z")
_LOOKING = ("header", ACT_HEADER, "Who looks at a restricted case: base64 of a signed act see_incident")
_LIMIT = ("query", "limit", "As many at most")
_PARAMETERS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "/control/v1/incidents": (
        ("query", "state", f"One of {', '.join(STATES)}"),
        ("query", "since", "Opened since: RFC 3339"),
        ("query", "before", "Older than this case"),
        ("query", "named", "Whose id begins or ends so"),
        _LIMIT,
    ),
    "/control/v1/incidents/{id}": (_AT, _LOOKING),
    "/control/v1/incidents/{id}/entries": (
        _AT, ("query", "after", "Only entries after this number"), _LIMIT, _LOOKING,
    ),
    "/control/v1/incidents/{id}/clocks": (_AT, _LOOKING),
    "/control/v1/incidents/{id}/affected": (_AT, _LOOKING),
    "/control/v1/incidents/{id}/severity": (_AT, _LOOKING),
}  # fmt: skip
"""What GET takes beside the path: where it stands, its name, what it is."""


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as plain values."""
    types = [t for route in _ROUTES for t in (route[3], route[5]) if t is not None] + [shapes.Error]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for method, path, summary, body, status, answer in _ROUTES:
        operation: dict[str, Any] = {
            "summary": summary,
            "responses": {
                str(status): {"description": "Done", "content": _json(schema[answer])},
                "default": {"description": "Refused", "content": _json(schema[shapes.Error])},
            },
        }
        if body is not None:
            operation["requestBody"] = {"required": True, "content": _json(schema[body])}
        if "{id}" in path:
            operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
        if method == "get":
            operation.setdefault("parameters", []).extend(
                {"name": name, "in": where, "description": what, "schema": {"type": "string"}}
                for where, name, what in _PARAMETERS.get(path, ())
            )
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Firedoor control API", "version": "1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
