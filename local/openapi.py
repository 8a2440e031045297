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
from shared.bots.config import (
    MIN_MEMORY_MIB,
    MIN_VCPUS,
    PRINTABLE_FILE_TYPE_PATTERN,
    READ_ONLY_FIELDS,
    BotConfig,
)
from shared.bots.fields import NAME_PATTERN, NAME_RULE
from shared.bots.page import FILTER_MAX_LENGTH
from shared.endpoints.record import Status
from shared.errors import BadRequestError, BodyTooLargeError, ByobError, RegistryUnavailableError
from shared.jobs.item import ItemStatus
from shared.jobs.query import JOB_ID_PATTERN
from shared.jobs.record import JobStatus
from shared.jobs.request import JobRequest
from shared.jobs.view import SHOWN_FIELDS
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
        "description": "How many entries a page has at most.",
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
_JOB_STATUS: Final = {"enum": [status.value for status in JobStatus]}
_FILE_STATUS: Final = {"enum": [status.value for status in ItemStatus]}
_FLAT_TIME: Final = {"type": "string", "description": "YYYY-MM-DD HH:MM:SS, UTC; empty until then."}
_COUNT: Final = {"type": "integer", "minimum": 0}
_JOB_PARAMETERS: Final[dict[str, Any]] = {
    "bot_name": {
        "description": "Jobs of this bot; empty: of any.",
        "schema": {"type": "string", "pattern": f"^({NAME_PATTERN})?$"},
    },
    "status": {"description": "Jobs in this status; empty: in any.", "schema": {"enum": ["", *JobStatus]}},
}
#: Parameters that mean something of their own where an operation answers this.
_PARAMETERS_OF: Final[dict[str, dict[str, Any]]] = {
    "JobPage": _JOB_PARAMETERS,
    "FilePage": {
        "status": {"description": "Files in this status; empty: in any.", "schema": {"enum": ["", *ItemStatus]}}
    },
}
_HEADERS: Final[dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "The same request under the same key, from the same caller, is the same job.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    }
}
#: What may be asked next about a thing, by the schema that shows it: the parameter, where the answer has it, the calls.
_NEXT: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "Bot": ("name", "/name", ("get_bot", "update_bot", "update_bot_patch", "deploy_bot", "delete_bot")),
    "BotPage": ("name", "/bots/0/name", ("get_bot",)),
    "Job": ("id", "/job_id", ("get_job", "list_job_files", "cancel_job", "retry_job")),
    "JobPage": ("id", "/jobs/0/job_id", ("get_job",)),
}
_MINIMA: Final = {"bot_vcpu": MIN_VCPUS, "bot_mem": MIN_MEMORY_MIB}
#: What API Gateway answers before a call reaches its function, or in place of it.
_OF_THE_GATEWAY: Final = {
    "403": "The request is not signed with AWS credentials, they may not make it, or there is no such path.",
    "429": "More requests came than the API answers at a time.",
    "504": "The request took longer than the service may; it may have been carried out.",
}
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
    made: dict[str, Any] = {
        "operationId": function.handler.split(".")[1] + ("_patch" if route.method == "PATCH" else ""),
        "summary": promised.summary,
        "parameters": [*_path_parameters(route), *_query(promised), *_headers(promised)],
        "responses": _responses(promised, route),
    }
    if promised.body:
        # A merge patch has any of the fields; null takes one away.
        schema = {"type": "object"} if route.method == "PATCH" else {"$ref": f"#/components/schemas/{promised.body}"}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _path_parameters(route: template.Route) -> list[dict[str, Any]]:
    if "{id}" in route.path:
        schema = {"type": "string", "pattern": f"^{JOB_ID_PATTERN}$"}
        return [{"name": "id", "in": "path", "required": True, "description": "The job's id.", "schema": schema}]
    if "{name}" not in route.path:
        return []
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": NAME_RULE,
        "schema": {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    }
    return [
        name,
        *({"name": header, "in": "header", "schema": _TEXT} for header in _PRECONDITIONS.get(route.method, [])),
    ]


def _query(promised: Operation) -> list[dict[str, Any]]:
    known = {**_PARAMETERS, **_PARAMETERS_OF.get(promised.answers.get(200) or "", {})}
    return [{"name": name, "in": "query", **known[name]} for name in promised.query]


def _headers(promised: Operation) -> list[dict[str, Any]]:
    return [{"name": name, "in": "header", **_HEADERS[name]} for name in promised.headers]


def _responses(promised: Operation, route: template.Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, schema in promised.answers.items():
        if route.method == "PATCH" and status == 201:
            continue
        response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if schema:
            alternatives = [{"$ref": f"#/components/schemas/{name}"} for name in schema.split(" or ")]
            one = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
            response["content"] = {"application/json": {"schema": one}}
        if schema in _NEXT:
            parameter, pointer, calls = _NEXT[schema]
            named = {parameter: f"$response.body#{pointer}"}
            response["links"] = {call: {"operationId": call, "parameters": named} for call in calls}
        if schema == "Bot" or status == 304:
            response["headers"] = {"ETag": _ETAG}
        if status == 201 or (status == 202 and promised.body):
            response.setdefault("headers", {})["Location"] = {"schema": _TEXT}
        responses[str(status)] = response
    errors: list[type[ByobError]] = [*promised.raises, BadRequestError, RegistryUnavailableError]
    if promised.body:
        errors.append(BodyTooLargeError)
    refusals = {str(error.status): (error.__doc__ or "").partition("\n")[0] for error in errors}
    for code, description in {**refusals, **_OF_THE_GATEWAY}.items():
        responses[code] = {
            "description": description,
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
        "JobRequest": _job_request(),
        "Job": _object({**_job_summary(), **_PROGRESS}),
        "JobSummary": _object(_job_summary()),
        "JobPage": _object(
            {"jobs": {"type": "array", "items": {"$ref": "#/components/schemas/JobSummary"}}, "next_token": _OR_NULL}
        ),
        "File": _object(_FILE),
        "FilePage": _object(
            {"files": {"type": "array", "items": {"$ref": "#/components/schemas/File"}}, "next_token": _OR_NULL}
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
                    "message": {"type": "string", "description": "API Gateway's own words, where it refused the call."},
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
            numeric = {"type": ["string", "null"], "pattern": r"^( *[0-9]{1,10}(\.0*)? *)?$"}
            properties[name] = {**kept, "anyOf": [number, numeric]}
        elif name == "file_types":
            item = {"type": "string", "pattern": f"^ *{PRINTABLE_FILE_TYPE_PATTERN} *$"}
            properties[name] = {**kept, "type": ["string", "array"], "minLength": 1, "minItems": 1, "items": item}
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


_PROGRESS: Final[dict[str, Any]] = {
    "files": {**_COUNT, "description": "Files listed so far."},
    "counts": _object({status.value: _COUNT for status in ItemStatus}),
    "percent": {"type": "number", "minimum": 0, "maximum": 100, "description": "Of files that are COMPLETED or ERROR."},
    "files_per_second": {"type": ["number", "null"], "description": "null until it is known."},
    "seconds_left": {"type": ["integer", "null"], "description": "null where it is not known, or nothing is left."},
}
_FILE: Final[dict[str, Any]] = {
    "bucket": _TEXT,
    "file_key": _TEXT,
    "status": _FILE_STATUS,
    "output": {"type": "string", "description": "s3:// address of the result; empty where there is none."},
    "error": {"type": "string", "description": "Why there is no result, in a sentence; empty where there is one."},
    "error_code": {"type": "string", "description": "The error's class, or a code."},
    "batch_id": {"type": "string", "description": "The slice that the file belongs to, from 1."},
    "attempts": _COUNT,
    "size": {**_COUNT, "description": "Bytes."},
    "created_date": _FLAT_TIME,
    "update_date": _FLAT_TIME,
}


def _job_request() -> dict[str, Any]:
    """Say of the model what its checks, which JSON Schema cannot see, take and refuse."""
    required = ["bot_name", "s3_bucket", "output_s3_bucket"]
    properties: dict[str, Any] = {}
    for name, rule in JobRequest.model_json_schema()["properties"].items():
        kept = {key: value for key, value in rule.items() if key != "title"}
        if name in required:
            properties[name] = {key: value for key, value in kept.items() if key != "default"}
        else:
            properties[name] = {**kept, "type": [rule["type"], "null"]}
    return {
        "type": "object",
        "description": "What to run, over what, and where the results go.",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _job_summary() -> dict[str, Any]:
    """Say how a job is shown in a list: all fields, "" where one is empty."""
    shown: dict[str, Any] = {name: {"type": "string"} for name in SHOWN_FIELDS}
    for name in ("number_of_bots", "bulk_size", "run"):
        shown[name] = {"type": "integer", "minimum": 1}
    for name in _MINIMA:
        shown[name] = {"type": ["integer", "string"]}
    for name in ("created_date", "started_date", "finished_date", "update_date"):
        shown[name] = _FLAT_TIME
    shown["job_id"] = {"type": "string", "pattern": f"^{JOB_ID_PATTERN}$"}
    shown["status"] = _JOB_STATUS
    shown["reason"] = {"type": "string", "description": "Why, in a sentence; empty where all is well."}
    return shown


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
