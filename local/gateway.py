"""API Gateway: the routes of template.yaml, each request as a REST proxy event, and Swagger UI beside them.

The event's form: Amazon API Gateway developer guide, "Input format of a Lambda function for proxy integration".
"""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final, Protocol
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles

from local import template

#: API Gateway gives up on an integration at 29 s ("Quotas for configuring and running a REST API").
INTEGRATION_TIMEOUT_SECONDS: Final = 29
_ACCOUNT: Final = "000000000000"
_STAGE: Final = "local"
_REQUEST_ID: Final = "x-amzn-RequestId"


class Environments(Protocol):
    """What runs a handler."""

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        """Run `module.name` on an event."""


def app(environments: Environments, openapi: Mapping[str, Any]) -> Starlette:
    """Make the ASGI application; whatever is no route of the template gets the gateway's own 404."""

    async def integrated(
        request: Request, request_id: str, route: template.Route, parameters: dict[str, str]
    ) -> Response:
        event = proxy_event(request, await request.body(), route, parameters, request_id)
        function = template.functions()[route.function]
        loop = asyncio.get_running_loop()
        # submit looks at the source files and may start processes: not on the event loop.
        future = await loop.run_in_executor(None, environments.submit, function.handler, event)
        try:
            result = await asyncio.wait_for(asyncio.wrap_future(future), INTEGRATION_TIMEOUT_SECONDS)
        except TimeoutError:
            return JSONResponse({"message": "Endpoint request timed out"}, 504)
        except Exception as error:  # noqa: BLE001 - a function that fails is API Gateway's 502, whatever the reason
            print(f"{function.id} failed: {error!r}", flush=True)
            return JSONResponse({"message": "Internal server error"}, 502)
        return _response(result)

    async def answer(request: Request) -> Response:
        found = match(request.method, raw_path(request))
        # "$context.requestId": the caller's own id where they send one.
        request_id = request.headers.get(_REQUEST_ID) or str(uuid.uuid4())
        answered = await integrated(request, request_id, *found) if found else _not_found(request_id)
        answered.headers[_REQUEST_ID] = request_id
        return answered

    async def document(_: Request) -> Response:
        return JSONResponse(openapi)

    async def docs(_: Request) -> Response:
        return HTMLResponse(_SWAGGER_UI)

    swagger = files("flask_openapi3_swagger") / "templates" / "swagger"
    return Starlette(
        routes=[
            Route("/docs", docs),
            Route("/openapi.json", document),
            Mount("/docs/assets", StaticFiles(directory=str(swagger))),
            _Everything(answer),
        ]
    )


def match(method: str, path: str) -> tuple[template.Route, dict[str, str]] | None:
    """Find the route of a raw (still percent-encoded) path, and its decoded path parameters."""
    segments = path.removeprefix("/").removesuffix("/").split("/")
    routes = [route for function in template.functions().values() for route in function.routes]
    for route in sorted(routes, key=lambda route: route.method == "ANY"):
        parameters = _parameters(route.path.strip("/").split("/"), segments)
        if parameters is not None and route.method in (method, "ANY"):
            return route, parameters
    return None


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not given:
                return None
            parameters[expected.strip("{}")] = unquote(given)
        elif expected != given:
            return None
    return parameters


def raw_path(request: Request) -> str:
    """Give the path as it came, so that an encoded slash is no separator."""
    raw: bytes = request.scope["raw_path"]
    return raw.decode("latin-1").partition("?")[0]


def proxy_event(
    request: Request, body: bytes, route: template.Route, parameters: dict[str, str], request_id: str
) -> dict[str, Any]:
    """Make the event that API Gateway hands to a function (Lambda proxy integration, REST API)."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
    query: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, []).append(value)
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode(), True
    path = unquote(raw_path(request))
    now = time.time()
    return {
        "resource": route.path,
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()} or None,
        "multiValueHeaders": headers or None,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": _ACCOUNT,
            "apiId": _STAGE,
            "domainName": request.headers.get("host", ""),
            "extendedRequestId": uuid.uuid4().hex[:16],
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.client.host if request.client else "",
                "userAgent": request.headers.get("user-agent"),
                "userArn": f"arn:aws:iam::{_ACCOUNT}:user/local",
            },
            "path": path,  # behind a stage it carries the stage's name; here there is none
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now * 1000),
            "resourceId": route.function.lower(),
            "resourcePath": route.path,
            "stage": _STAGE,
        },
        "body": text or None,
        "isBase64Encoded": is_base64,
    }


class _Everything(BaseRoute):
    """Whatever request is left, by any method; Starlette's own patterns match no path with a newline in it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def matches(self, scope: Any) -> tuple[Match, dict[str, Any]]:
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)


def _response(result: Mapping[str, Any]) -> Response:
    body = base64.b64decode(result["body"]) if result.get("isBase64Encoded") else (result.get("body") or "").encode()
    return Response(body, result["statusCode"], result.get("headers") or {})


def _not_found(request_id: str) -> Response:
    problem = {
        "type": "urn:byob:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "this API has no such path",
        "request_id": request_id,
    }
    return Response(json.dumps(problem), 404, media_type="application/problem+json")


_SWAGGER_UI: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Bring Your Own Bot</title>
<link rel="stylesheet" href="/docs/assets/css/swagger-ui.css">
<div id="ui"></div>
<script src="/docs/assets/js/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui"})</script>
</html>
"""
