"""The OpenAPI document of the control API, from the same types that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec

from firedoor.api import shapes

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
)
"""Method, path, what it does, body, status of success, answer."""


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
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Firedoor control API", "version": "1"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
