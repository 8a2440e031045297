"""The edge: API Gateway REST proxy events in, answers and problem documents (RFC 9457) out.

Each function answers one operation, and API Gateway has chosen it already, so nothing is routed here a second time.
"""

import base64
import binascii
import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Self

from shared import metrics
from shared.deadline import Deadline
from shared.errors import BadRequestError, BodyTooLargeError, ByobError, Violation
from shared.invocation import Event, invocation
from shared.log import logger
from shared.preconditions import Preconditions

MAX_BODY_BYTES: Final = 64 * 1024
# API Gateway makes a UUID, but takes the caller's own id where one comes as X-Amzn-RequestId ("$context.requestId").
_ID_MAX_LENGTH: Final = 128


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller sent: decoded path and query parameters, headers under lower-case names."""

    id: str
    caller: str  # ARN of who signed the request
    method: str
    resource: str
    address: str  # the path as the caller sees it, stage included
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str
    is_base64: bool

    @property
    def preconditions(self) -> Preconditions:
        """The caller's If-Match and If-None-Match; raise BadRequestError where they cannot be read."""
        return Preconditions.from_headers(self.headers)

    def json(self) -> object:
        """Read the body as JSON whatever its Content-Type says; raise BadRequestError or BodyTooLargeError."""
        text = self._text().removeprefix("\ufeff")
        if not text.strip():
            raise BadRequestError("the body is empty; send a JSON document, as in: curl -d @bot_config.json")
        try:
            parsed = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
            json.dumps(parsed, ensure_ascii=False).encode()
        except RecursionError:
            raise BadRequestError("the body is not JSON that can be read: nested too deeply") from None
        except UnicodeEncodeError:
            raise BadRequestError("the body is not JSON that can be read: a lone surrogate in a string") from None
        except ValueError as error:
            raise BadRequestError(f"the body is not JSON that can be read: {error}") from None
        return parsed

    def flag(self, name: str) -> bool:
        """Read a query parameter that is true or false, false where absent; raise BadRequestError."""
        value = self.query.get(name, "false")
        if value not in ("true", "false"):
            raise BadRequestError(f"{name} must be true or false", [Violation(f"/{name}", "must be true or false")])
        return value == "true"

    def _text(self) -> str:
        if len(self.body) > MAX_BODY_BYTES * (2 if self.is_base64 else 1):
            raise BodyTooLargeError(MAX_BODY_BYTES)
        try:
            raw = base64.b64decode(self.body, validate=True) if self.is_base64 else self.body.encode()
            if len(raw) > MAX_BODY_BYTES:
                raise BodyTooLargeError(MAX_BODY_BYTES)
            return raw.decode()
        except (binascii.Error, UnicodeError):
            raise BadRequestError("the body is not text in UTF-8") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a JSON body (None: no body) and headers."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def written(cls, body: object, etag: str, *, created_at: str | None) -> Self:
        """Answer a write: 201 with the Location where something new was made, 200 otherwise."""
        headers = {"ETag": etag}
        return cls(201, body, {**headers, "Location": created_at}) if created_at else cls(200, body, headers)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operation promises, for the OpenAPI document: each answer's schema, parameters, errors."""

    summary: str
    answers: Mapping[int, str | None]
    raises: Sequence[type[ByobError]]
    query: Sequence[str]
    headers: Sequence[str]
    body: str | None


def operation(
    *,
    answers: Mapping[int, str | None],
    raises: Sequence[type[ByobError]] = (),
    query: Sequence[str] | None = (),
    headers: Sequence[str] = (),
    body: str | None = None,
    refusals: metrics.Metric | None = None,
) -> Callable[[Callable[[Request], Answer]], Callable[[Event, Any], dict[str, Any]]]:
    """Make a Lambda handler of an operation: request in, answer out, every error a problem document.

    Query parameters other than `query` are refused, so that a misspelt filter is not a wider answer; None lets all
    pass. `refusals` counts the answers of 4xx.
    """

    def decorate(answer: Callable[[Request], Answer]) -> Callable[[Event, Any], dict[str, Any]]:
        def answered(event: Event, context: Any, request_id: str) -> dict[str, Any]:
            try:
                with Deadline(context):
                    return _rendered(answer(_request(event, request_id, query)))
            except ByobError as error:
                if error.status >= 500:
                    logger.exception("request failed", status=error.status)
                elif refusals:
                    metrics.record(refusals)
                return _problem(error, request_id)
            except Exception:  # noqa: BLE001 - the caller gets a fixed body, the log the traceback
                logger.exception("request failed", status=500)
                return _problem(ByobError(), request_id)

        @functools.wraps(answer)
        def entrypoint(event: Event, context: Any) -> dict[str, Any]:
            request_id = event["requestContext"]["requestId"][:_ID_MAX_LENGTH]
            with invocation(context, request_id) as ending:
                rendered = answered(event, context, request_id)
                status = rendered["statusCode"]
                metrics.record(metrics.REQUESTS_FAILED, int(status >= 500))
                ending.update(message="request answered", status=status)
                return rendered

        summary = (answer.__doc__ or "").partition("\n")[0]
        entrypoint.operation = Operation(summary, answers, raises, query or (), headers, body)  # type: ignore[attr-defined]
        return entrypoint

    return decorate


def _request(event: Event, request_id: str, known_query: Sequence[str] | None) -> Request:
    context = event["requestContext"]
    many = event.get("multiValueQueryStringParameters") or {}
    violations = [
        *(Violation(f"/{name}", "is not a parameter of this call") for name in many if name not in (known_query or ())),
        *(Violation(f"/{name}", "must be sent once") for name, values in many.items() if len(values) > 1),
    ]
    if violations and known_query is not None:
        raise BadRequestError("the query parameters are not those of this call", violations)
    return Request(
        id=request_id,
        caller=context["identity"].get("userArn") or "",
        method=event["httpMethod"],
        resource=event["resource"],
        address=context["path"],
        path=event.get("pathParameters") or {},
        query={name: values[0] for name, values in many.items()},
        headers={name.lower(): ", ".join(values) for name, values in (event["multiValueHeaders"] or {}).items()},
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
    )


def _rendered(answer: Answer) -> dict[str, Any]:
    headers = dict(answer.headers)
    if answer.body is not None:
        headers.setdefault("Content-Type", "application/json")
    # no-cache: a cache may keep an answer but has to ask, with its ETag, before using it.
    headers.setdefault("Cache-Control", "no-cache")
    body = "" if answer.body is None else json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}


def _problem(error: ByobError, request_id: str) -> dict[str, Any]:
    # What is not answered on purpose tells the caller nothing of the inside; the log has it under the request id.
    kind, title, detail = error.kind, error.title, str(error)
    if error.status == 500:
        kind, title, detail = ByobError.kind, ByobError.title, "the service failed unexpectedly; its log has the reason"
    body: dict[str, Any] = {
        "type": f"urn:byob:{kind}",
        "title": title,
        "status": error.status,
        "detail": detail,
        "request_id": request_id,
    }
    if error.violations:
        body["errors"] = [{"pointer": violation.pointer, "detail": violation.detail} for violation in error.violations]
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **error.headers}
    # Escaped to ASCII: a detail may quote what was sent, lone surrogates included.
    return {"statusCode": error.status, "headers": headers, "body": json.dumps(body), "isBase64Encoded": False}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: which of the two was meant cannot be told."""
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {repeated[:80]!r} stands twice in one object")
    return parsed


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
