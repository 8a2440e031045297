"""AWS on this machine: moto, mended where it is laxer than the service, and Lambda Invoke with the real handlers."""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpointConfig, SageMakerModelBackend
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local import template
from local.workers import Workers

#: No region of this name can exist, so nothing here can reach a real account.
REGION: Final = "local-1"
#: Dummy keys, a session token included, as Lambda has them: signing has no second path.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDLOCALLOCALLOCAL0",
    "AWS_SECRET_ACCESS_KEY": "local-secret-key",
    "AWS_SESSION_TOKEN": "local-session-token",
}

# Lambda API, Invoke.
_ROUTES: Final = Map([Rule("/2015-03-31/functions/<function>/invocations", endpoint="invoke", methods=["POST"])])


class EmulatedAws:
    """Answers AWS's own HTTP APIs on one loopback port."""

    def __init__(self) -> None:
        os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"  # moto's own switch, read at each request
        _mend_sagemaker()
        self._workers: Workers | None = None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws", daemon=True)

    @property
    def url(self) -> str:
        """Where every service answers, for AWS_ENDPOINT_URL_*."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self, workers: Workers) -> None:
        """Begin to answer; Lambda functions run in `workers`."""
        self._workers = workers
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/2015-03-31/functions/"):
            return self._invoke(Request(environ))(environ, start_response)
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _invoke(self, request: Request) -> Response:
        """Answer Lambda's Invoke: 202 at once for InvocationType Event, the handler's result otherwise."""
        assert self._workers is not None
        _, arguments = _ROUTES.bind_to_environ(request.environ).match()
        function = template.functions().get(arguments["function"].rpartition(":")[2])
        if function is None:
            body = {"Type": "User", "Message": f"Function not found: {arguments['function']}"}
            return _json(body, HTTPStatus.NOT_FOUND, {"x-amzn-ErrorType": "ResourceNotFoundException"})
        result = self._workers.submit(function.handler, request.get_json(force=True) if request.data else {})
        if request.headers.get("X-Amz-Invocation-Type") == "Event":
            result.add_done_callback(
                lambda done: done.exception() and print(f"{function.id} failed: {done.exception()!r}", flush=True)
            )
            return Response(status=HTTPStatus.ACCEPTED)
        try:
            return _json(result.result(function.timeout_seconds))
        except Exception as error:  # noqa: BLE001 - a function's failure is an answer of Invoke, whatever the reason
            body = {"errorType": type(error).__name__, "errorMessage": str(error)}
            body["stackTrace"] = "".join(traceback.format_exception(error))
            return _json(body, HTTPStatus.OK, {"X-Amz-Function-Error": "Unhandled"})


class _QuietHandler(WSGIRequestHandler):
    """Keeps connections open, as AWS does, and writes no access log."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


def _mend_sagemaker() -> None:
    """Have moto refuse a name that exists, which it writes over, and take any instance type: its list is years old."""
    setattr(FakeEndpointConfig, "validate_instance_type", lambda _self, _instance_type: None)  # noqa: B010 - a method
    kinds = {
        "create_model": ("model", "model_name", "_models"),
        "create_endpoint_config": ("endpoint configuration", "endpoint_config_name", "endpoint_configs"),
        "create_endpoint": ("endpoint", "endpoint_name", "endpoints"),
    }
    for operation, (noun, parameter, store) in kinds.items():
        create = getattr(SageMakerModelBackend, operation)
        if not hasattr(create, "mended"):
            setattr(SageMakerModelBackend, operation, _refusing_existing(create, noun, parameter, store))


def _refusing_existing(create: Callable[..., Any], noun: str, parameter: str, store: str) -> Callable[..., Any]:
    def mended(self: SageMakerModelBackend, **parameters: Any) -> Any:
        name = parameters[parameter]
        if name.lower() in (existing.lower() for existing in getattr(self, store)):
            raise ValidationError(f'Cannot create already existing {noun} "{name}".')
        return create(self, **parameters)

    mended.mended = True  # type: ignore[attr-defined]
    return mended
