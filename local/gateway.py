"""API Gateway: the routes of template.yaml, each request as a REST proxy event, and Swagger UI beside them.

The event's form: Amazon API Gateway developer guide, "Input format of a Lambda function for proxy integration". What it
answers by itself is in template.yaml as well.
"""

import asyncio
import base64
import re
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.staticfiles import StaticFiles

from local import template

#: API Gateway gives up on an integration at 29 s ("Quotas for configuring and running a REST API").
INTEGRATION_TIMEOUT_SECONDS: Final = 29
#: "Quotas for configuring and running a REST API": payload size.
MOST_BYTES: Final = 10 * 1024 * 1024
_ACCOUNT: Final = "000000000000"
_STAGE: Final = "local"
_REQUEST_ID: Final = "x-amzn-RequestId"
_VARIABLE: Final = re.compile(r"\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)")
_EXTENDED_REQUEST_ID: Final = "x-amz-apigw-id"


class RequestIds(NamedTuple):
    """The id of a request that its caller may choose, and the one that nobody can."""

    chosen: str
    extended: str


class Environments(Protocol):
    """What runs a handler."""

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        """Run `module.name` on an event."""


def app(
    environments: Environments,
    openapi: Mapping[str, Any],
    functions: Callable[[], Mapping[str, template.Function]] = template.functions,
) -> Starlette:
    """Make the ASGI application; whatever is no route of `functions` gets an answer of the gateway's own."""

    async def integrated(
        request: Request, ids: RequestIds, route: template.Route, parameters: dict[str, str]
    ) -> Response:
        body = await request.body()
        if len(body) > MOST_BYTES:
            return _own("REQUEST_TOO_LARGE", ids)
        event = proxy_event(request, body, route, parameters, ids)
        function = functions()[route.function]
        loop = asyncio.get_running_loop()
        # submit looks at the source files and may start processes: not on the event loop.
        future = await loop.run_in_executor(None, environments.submit, function.handler, event)
        try:
            return _response(await asyncio.wait_for(asyncio.wrap_future(future), INTEGRATION_TIMEOUT_SECONDS))
        except TimeoutError:
            return _own("INTEGRATION_TIMEOUT", ids)
        except Exception as error:  # noqa: BLE001 - a function that fails is API Gateway's 502, whatever the reason
            print(f"{function.id} failed: {error!r}", flush=True)
            # Lambda developer guide, "Handling Lambda errors with an API Gateway API".
            return _own("DEFAULT_5XX", ids, HTTPStatus.BAD_GATEWAY)

    async def answer(request: Request) -> Response:
        found = match(request.method, raw_path(request), functions())
        # "$context.requestId": the caller's own id where they send one.
        ids = RequestIds(request.headers.get(_REQUEST_ID) or str(uuid.uuid4()), uuid.uuid4().hex[:16])
        answered = await integrated(request, ids, *found) if found else _own("MISSING_AUTHENTICATION_TOKEN", ids)
        answered.headers[_REQUEST_ID] = ids.chosen
        answered.headers[_EXTENDED_REQUEST_ID] = ids.extended
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


def match(
    method: str, path: str, functions: Mapping[str, template.Function]
) -> tuple[template.Route, dict[str, str]] | None:
    """Find the route of a raw (still percent-encoded) path, and its decoded path parameters."""
    segments = path.removeprefix("/").removesuffix("/").split("/")
    routes = [route for function in functions.values() for route in function.routes]
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
    request: Request, body: bytes, route: template.Route, parameters: dict[str, str], ids: RequestIds
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
            "extendedRequestId": ids.extended,
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.client.host if request.client else "",
                "userAgent": request.headers.get("user-agent"),
                "userArn": f"arn:aws:iam::{_ACCOUNT}:user/local",
            },
            "path": path,  # behind a stage it carries the stage's name; here there is none
            "protocol": "HTTP/1.1",
            "requestId": ids.chosen,
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


def _own(kind: str, ids: RequestIds, status: int | None = None) -> Response:
    """Answer as the template has API Gateway answer by itself; `status` for a type that has several."""
    declared = template.gateway_responses()[kind]
    variables = {"requestId": ids.chosen, "extendedRequestId": ids.extended, "error.responseType": kind}
    body = _VARIABLE.sub(lambda found: variables[found[1]], declared.body)
    status = declared.status or status
    assert status, f"{kind} has several statuses"
    return Response(body, status, dict(declared.headers))


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
