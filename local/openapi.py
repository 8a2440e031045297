"""The OpenAPI 3.1 document, made from the code.

Routes come from the template, promises from the handlers, rules from the configuration's own model.
"""

import importlib
import json
import tomllib
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from local import template
from shared.api import MAX_BODY_BYTES, Operation
from shared.bots.config import MIN_MEMORY_MIB, MIN_VCPUS, READ_ONLY_FIELDS, BotConfig
from shared.bots.fields import NAME_PATTERN, NAME_RULE
from shared.bots.page import FILTER_MAX_LENGTH
from shared.endpoints.record import Status
from shared.errors import BadRequestError, BodyTooLargeError, ByobError, RegistryUnavailableError
from shared.paging import DEFAULT_LIMIT, MAX_LIMIT

DOCUMENT: Final = template.ROOT / "docs" / "openapi.json"


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT: Final = {"type": "string"}
_OR_NULL: Final = {"type": ["string", "null"]}
_STATUS: Final = {"enum": [status.value for status in Status]}
_FAILURE: Final = {"anyOf": [{"type": "null"}, _object({"code": _TEXT, "message": _TEXT})]}
_ACTIONS: Final = {
    "type": "array",
    "items": _object(
        {
            "name": _TEXT,
            "action": {"enum": ["create", "update", "recreate", "none", "leave", "wait"]},
            "detail": _TEXT,
        }
    ),
}
_CHECKS: Final = {
    "type": "array",
    "items": _object(
        {
            "subject": {"type": "string", "description": "A pointer into the configuration, or role."},
            "ok": {"type": ["boolean", "null"], "description": "null: it could not be checked."},
            "detail": _TEXT,
        }
    ),
}
_ETAG: Final = {"schema": _TEXT, "description": "Version of the configuration, and state of the endpoints."}
_PARAMETERS: Final[dict[str, Any]] = {
    "limit": {
        "description": "How many bots a page has at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    },
    "next_token": {"description": "From the page before, with the same filters.", "schema": _TEXT},
    "name_prefix": {
        "description": "Bots whose name begins so.",
        "schema": {"type": "string", "maxLength": FILTER_MAX_LENGTH},
    },
    "endpoint_name": {
        "description": "Bots that name this endpoint; case makes no difference.",
        "schema": {"type": "string", "maxLength": FILTER_MAX_LENGTH},
    },
    "file_type": {
        "description": "Bots that take files of this ending; case makes no difference.",
        "schema": {"type": "string", "maxLength": FILTER_MAX_LENGTH},
    },
    "validate_only": {
        "description": "Say what would be done and check what it would be done with; write nothing.",
        "schema": {"type": "boolean", "default": False},
    },
    "unused": {"description": "Endpoints that no bot names.", "schema": {"type": "boolean", "default": False}},
    "delete_endpoint": {
        "description": "Also remove the endpoints that the platform made and that no other bot names.",
        "schema": {"type": "boolean", "default": False},
    },
}
_MINIMA: Final = {"bot_vcpu": MIN_VCPUS, "bot_mem": MIN_MEMORY_MIB}
_PRECONDITIONS: Final = {
    "GET": ["If-None-Match"],
    "PUT": ["If-Match", "If-None-Match"],
    "PATCH": ["If-Match"],
    "DELETE": ["If-Match"],
}


def document() -> dict[str, Any]:
    """Make the document."""
    project = tomllib.loads((template.ROOT / "pyproject.toml").read_text())["project"]
    paths: dict[str, Any] = {}
    for function in template.functions().values():
        for route in function.routes:
            if route.method != "ANY":
                paths.setdefault(route.path, {})[route.method.lower()] = _operation(function, route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bring Your Own Bot", "version": project["version"], "description": project["description"]},
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {"schemas": _schemas()},
    }


def write(path: Path = DOCUMENT) -> None:
    """Write the document to its place under docs/."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(rendered())


def rendered() -> str:
    """Give the document as it is kept."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _operation(function: template.Function, route: template.Route) -> dict[str, Any]:
    module = importlib.import_module(function.handler.rpartition(".")[0])
    promised: Operation = module.handler.operation
    one_bot = "{name}" in route.path
    made: dict[str, Any] = {
        "operationId": function.handler.split(".")[1] + ("_patch" if route.method == "PATCH" else ""),
        "summary": promised.summary,
        "parameters": [*_path_parameters(one_bot=one_bot, method=route.method), *_query(promised)],
        "responses": _responses(promised, method=route.method),
    }
    if promised.body:
        # A merge patch has any of the fields; null takes one away.
        schema = {"type": "object"} if route.method == "PATCH" else {"$ref": f"#/components/schemas/{promised.body}"}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _path_parameters(*, one_bot: bool, method: str) -> list[dict[str, Any]]:
    if not one_bot:
        return []
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": NAME_RULE,
        "schema": {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    }
    return [name, *({"name": header, "in": "header", "schema": _TEXT} for header in _PRECONDITIONS.get(method, []))]


def _query(promised: Operation) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", **_PARAMETERS[name]} for name in promised.query]


def _responses(promised: Operation, *, method: str) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in promised.answers.items():
        if method == "PATCH" and status == 201:
            continue
        response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if schema:
            alternatives = [{"$ref": f"#/components/schemas/{name}"} for name in schema.split(" or ")]
            one = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
            response["content"] = {"application/json": {"schema": one}}
        if schema == "Bot" or status == 304:
            response["headers"] = {"ETag": _ETAG}
        if status == 201:
            response["headers"]["Location"] = {"schema": _TEXT}
        responses[str(status)] = response
    errors: list[type[ByobError]] = [*promised.raises, BadRequestError, RegistryUnavailableError]
    if promised.body:
        errors.append(BodyTooLargeError)
    for error in errors:
        responses[str(error.status)] = {
            "description": (error.__doc__ or "").partition("\n")[0],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return dict(sorted(responses.items()))


def _schemas() -> dict[str, Any]:
    sent = BotConfig.model_json_schema(mode="validation")
    return {
        "BotConfig": _sent(sent),
        "Bot": _stored(sent["properties"]),
        "BotPage": _object(
            {"bots": {"type": "array", "items": {"$ref": "#/components/schemas/Bot"}}, "next_token": _OR_NULL}
        ),
        "EndpointState": _object(
            {
                "name": _TEXT,
                "status": _STATUS,
                "managed": {"type": "boolean", "description": "The platform made it."},
                "outdated": {"type": "boolean", "description": "It runs something else than the bot asks for."},
                "failure": _FAILURE,
                "next_attempt_at": _OR_NULL,
                "observed_at": _OR_NULL,
            }
        ),
        "EndpointPage": _object(
            {"endpoints": {"type": "array", "items": {"$ref": "#/components/schemas/Endpoint"}}, "next_token": _OR_NULL}
        ),
        "Endpoint": _object(
            {
                "name": _TEXT,
                "status": _STATUS,
                "managed": {"type": "boolean", "description": "The platform made it."},
                "bots": {"type": "array", "items": _TEXT, "description": "The bots that name it."},
                "since": {**_OR_NULL, "description": "When the status was first seen."},
                "image": _TEXT,
                "model_data": _TEXT,
                "instance_type": _TEXT,
                "failure": _FAILURE,
                "next_attempt_at": _OR_NULL,
                "observed_at": _OR_NULL,
            }
        ),
        "Deployment": _object({"name": _TEXT, "endpoints": _ACTIONS}),
        "DeploymentRehearsal": _object({"name": _TEXT, "endpoints": _ACTIONS, "checks": _CHECKS}),
        "Rehearsal": _object(
            {
                "would": {"enum": ["create", "replace", "nothing"]},
                "name": _TEXT,
                "endpoints": _ACTIONS,
                "checks": _CHECKS,
            }
        ),
        "Health": _object({"status": {"const": "ok"}}),
        "Problem": {
            **_object(
                {
                    "type": _TEXT,
                    "title": _TEXT,
                    "status": {"type": "integer"},
                    "detail": _TEXT,
                    "request_id": _TEXT,
                    "errors": {"type": "array", "items": _object({"pointer": _TEXT, "detail": _TEXT})},
                }
            ),
            "required": ["type", "title", "status", "detail", "request_id"],
            "description": "RFC 9457.",
        },
    }


def _sent(model: dict[str, Any]) -> dict[str, Any]:
    """Say of the model what its checks, which JSON Schema cannot see, take and refuse."""
    required = ["name", "file_types", "bot_image", "endpoint_name", "instance_type"]
    properties: dict[str, Any] = {}
    for name, rule in model["properties"].items():
        kept = {key: value for key, value in rule.items() if key not in ("title", "default", "type", "anyOf")}
        if name in _MINIMA:
            number = {"type": "integer", "minimum": _MINIMA[name], "maximum": 2**31 - 1}
            properties[name] = {**kept, "anyOf": [number, {"type": ["string", "null"]}]}
        elif name == "file_types":
            properties[name] = {**kept, "type": ["string", "array"], "minLength": 1, "minItems": 1, "items": _TEXT}
        elif name in required:
            properties[name] = {**kept, "type": "string", "minLength": 1}
        else:
            properties[name] = {**kept, "type": ["string", "null"]}
    for name in sorted(READ_ONLY_FIELDS):
        properties[name] = {"description": "Set by the service; ignored when sent."}
    return {
        "type": "object",
        "description": f"The document an author sends, at most {MAX_BODY_BYTES} bytes; bot_name is read as name.",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    """Say how a bot is shown: all fields, "" where one is empty."""
    shown: dict[str, Any] = {
        name: {"type": ["integer", "string"] if name in _MINIMA else "string", "description": rule["description"]}
        for name, rule in fields.items()
    }
    for name in ("create_date", "update_date"):
        shown[name] = {"type": "string", "description": "YYYY-MM-DD HH:MM:SS, UTC"}
    shown["endpoints"] = {"type": "array", "items": {"$ref": "#/components/schemas/EndpointState"}}
    return _object(shown)
