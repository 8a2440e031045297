"""AWS on this machine: moto, mended where it is laxer than the service, and Lambda Invoke with the real handlers."""

import json
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Final

import boto3
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local import arns, template
from local.batch import LocalBatch
from local.hosts import LOOPBACK, reachable
from local.identities import keys_of
from local.runtime import LocalRuntime
from local.sagemaker import MOVING_SECONDS, LocalSageMaker
from local.stepfunctions import LocalStepFunctions
from local.workers import Workers

REGION: Final = arns.REGION
#: Dummy keys of whoever looks at the stack from outside, a session token included: signing has no second path.
CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDLOCALLOCALLOCAL0",
    "AWS_SECRET_ACCESS_KEY": "local-secret-key",
    "AWS_SESSION_TOKEN": "local-session-token",
}

ROLE_ARN: Final = arns.role(arns.named("Foundation-EndpointRole"))
#: What bots' containers run as, and executions: their logical ids in the template.
JOB_ROLE: Final = "JobRole"
_MACHINE_ROLE: Final = "JobStateMachineRole"

# Lambda API, Invoke.
_ROUTES: Final = Map([Rule("/2015-03-31/functions/<function>/invocations", endpoint="invoke", methods=["POST"])])


class EmulatedAws:
    """Answers AWS's own HTTP APIs on one port of `host`.

    `moving_seconds`: how long a state of an endpoint that moves lasts. `program`: what Batch runs for every image
    (LocalBatch). `pace`: what state machines' waits and retry intervals are multiplied by. `declared`: the template
    that says which functions and state machines there are.
    """

    #: Told of every request before it is answered: the emulator, WSGI's environment, the body if its length is known.
    witness: "ClassVar[Callable[[EmulatedAws, Mapping[str, Any], bytes], None] | None]" = None

    def __init__(
        self,
        *,
        host: str = LOOPBACK,
        moving_seconds: float = MOVING_SECONDS,
        program: Sequence[str] | None = None,
        pace: float = 1.0,
        declared: Path | None = None,
    ) -> None:
        os.environ["MOTO_ALLOW_NONEXISTENT_REGION"] = "true"  # moto's own switch, read at each request
        self.sagemaker = LocalSageMaker(REGION, moving_seconds=moving_seconds)
        self._host = host
        self.declared = declared
        self.batch = LocalBatch(
            capacity=template.job_capacity(), time_limits=template.job_time_limits(), program=program
        )
        self.stepfunctions = LocalStepFunctions(REGION, keys_of(_MACHINE_ROLE), self.batch, pace=pace)
        self.runtime = LocalRuntime(self.sagemaker)
        self._workers: Workers | None = None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(host, 0, self._answer, threaded=True, request_handler=_QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="aws", daemon=True)

    @property
    def url(self) -> str:
        """Where every service answers this machine, for AWS_ENDPOINT_URL_*."""
        return f"http://{reachable(self._host)}:{self._server.server_port}"

    def start(self, workers: Workers) -> None:
        """Begin to answer; Lambda functions run in `workers`."""
        self._workers = workers
        _make_role()
        region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        told = {**region, "AWS_EXECUTION_ENV": "AWS_ECS_EC2", "AWS_ENDPOINT_URL": self.url}
        self.batch.environment = {**keys_of(JOB_ROLE), **told}
        for machine in template.state_machines(self.declared).values():
            role_arn = arns.role(arns.named(_MACHINE_ROLE))
            self.stepfunctions.create_state_machine(machine.name, machine.definition, role_arn)
        self.sagemaker.start()
        self.batch.start()
        self.stepfunctions.start(self.url)
        self._thread.start()

    def quieten(self) -> None:
        """End what acts by itself: events, executions, jobs. No function is begun any more; the rest still answers."""
        self._workers = None
        self.sagemaker.stop()
        self.stepfunctions.stop()
        self.batch.stop()

    def stop(self) -> None:
        """Stop answering; nothing that was started here goes on."""
        self.quieten()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if EmulatedAws.witness:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            if "HTTP_TRANSFER_ENCODING" not in environ:
                environ["wsgi.input"] = BytesIO(body)
            EmulatedAws.witness(self, environ, body)
        if environ["PATH_INFO"].startswith("/2015-03-31/functions/"):
            return self._invoke(Request(environ))(environ, start_response)
        answer = self._answerer(environ["PATH_INFO"], environ.get("HTTP_X_AMZ_TARGET", ""))
        if answer:
            return answer(environ)(environ, start_response)
        answered: Iterable[bytes] = self._moto(environ, start_response)
        return answered

    def _answerer(self, path: str, target: str) -> Callable[[dict[str, Any]], Response] | None:
        """Find which service of ours a request is for, None for one of moto's."""
        if target.startswith("SageMaker."):
            return self.sagemaker.answer
        if target.startswith("AWSStepFunctions."):
            return self.stepfunctions.answer
        if self.batch.answers(path):
            return self.batch.answer
        return self.runtime.answer if self.runtime.answers(path) else None

    def _invoke(self, request: Request) -> Response:
        """Answer Lambda's Invoke: 202 at once for InvocationType Event, the handler's result otherwise."""
        workers = self._workers
        if workers is None:
            body = {"Type": "Service", "Message": "local mode is being stopped"}
            return _json(body, HTTPStatus.INTERNAL_SERVER_ERROR, {"x-amzn-ErrorType": "ServiceException"})
        _, arguments = _ROUTES.bind_to_environ(request.environ).match()
        name = arguments["function"].removesuffix(":live").rpartition(":")[2]
        function = template.functions(self.declared).get(name.removeprefix(arns.named("")))
        if function is None:
            body = {"Type": "User", "Message": f"Function not found: {arguments['function']}"}
            return _json(body, HTTPStatus.NOT_FOUND, {"x-amzn-ErrorType": "ResourceNotFoundException"})
        result = workers.submit(function.handler, request.get_json(force=True) if request.data else {})
        if request.headers.get("X-Amz-Invocation-Type") == "Event":
            result.add_done_callback(
                lambda done: done.exception() and print(f"{function.id} failed: {done.exception()!r}", flush=True)
            )
            return Response(status=HTTPStatus.ACCEPTED)
        try:
            return _json(result.result(function.timeout_seconds))
        except TimeoutError as error:
            # Lambda's own name for it, where the function has not raised one itself.
            kind = type(error).__name__ if result.done() else "Sandbox.Timedout"
            sentence = str(error) or f"Task timed out after {function.timeout_seconds:.2f} seconds"
            body = {"errorType": kind, "errorMessage": sentence}
            return _json(body, HTTPStatus.OK, {"X-Amz-Function-Error": "Unhandled"})
        except Exception as error:  # noqa: BLE001 - a function's failure is an answer of Invoke, whatever the reason
            body = {"errorType": type(error).__name__, "errorMessage": str(error)}
            body["stackTrace"] = "".join(traceback.format_exception(error))
            return _json(body, HTTPStatus.OK, {"X-Amz-Function-Error": "Unhandled"})


def client(service: str, url: str) -> Any:
    """Make a client of an emulated service; `url` is where it answers."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def make_bucket(s3: Any, name: str) -> None:
    """Make a bucket, unless it is there: moto has one S3 for all stacks of a process."""
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


class _QuietHandler(WSGIRequestHandler):
    """Keeps connections open, as AWS does, and writes no access log."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def _make_role() -> None:
    """Have the endpoints' role in moto's IAM, as the template makes it in a real account."""
    iam = iam_backends[arns.ACCOUNT]["aws"]
    if ROLE_ARN not in (role.arn for role in iam.roles.values()):
        trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}}]}
        iam.create_role(ROLE_ARN.rpartition("/")[2], json.dumps(trust), "/", None, "", [], "3600")


def _json(body: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")
