"""AWS on this machine: moto, mended where it is laxer than the service, and Lambda Invoke with the real handlers."""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local import template
from local.sagemaker import MOVING_SECONDS, LocalSageMaker
from local.workers import Workers

#: No region of this name can exist, so nothing here can reach a real account.
REGION: Final = "local-1"
#: Dummy keys, a session token included, as Lambda has them: signing has no second path.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDLOCALLOCALLOCAL0",
    "AWS_SECRET_ACCESS_KEY": "local-secret-key",
    "AWS_SESSION_TOKEN": "local-session-token",
}

ROLE_ARN: Final = "arn:aws:iam::123456789012:role/byob-endpoint"

# Lambda API, Invoke.
_ROUTES: Final = Map([Rule("/2015-03-31/functions/<function>/invocations", endpoint="invoke", methods=["POST"])])


class EmulatedAws:
    """Answers AWS's own HTTP APIs on one loopback port.

    `moving_seconds`: how long a state of an endpoint that moves lasts.
    """

    def __init__(self, *, moving_seconds: float = MOVING_SECONDS) -> None:
        os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"  # moto's own switch, read at each request
        self.sagemaker = LocalSageMaker(REGION, moving_seconds=moving_seconds)
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
        _make_role()
        self.sagemaker.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.sagemaker.stop()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/2015-03-31/functions/"):
            return self._invoke(Request(environ))(environ, start_response)
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("SageMaker."):
            return self.sagemaker.answer(environ)(environ, start_response)
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


def _make_role() -> None:
    """Have the endpoints' role in moto's IAM, as the template makes it in a real account."""
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    if ROLE_ARN not in (role.arn for role in iam.roles.values()):
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}
        iam.create_role(ROLE_ARN.rpartition("/")[2], json.dumps(trust), "/", None, "", [], "3600")


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")
