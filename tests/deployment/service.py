"""Serves what is deployed: the handlers of src/ with the routes, rules, roles and variables that the account has.

Nothing is read from the template. Only addresses are of this machine: the registry's and AWS's own.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock, Thread
from typing import Any, Final
from urllib.parse import unquote

from botocore.credentials import Credentials
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local import gateway
from local.aws import CREDENTIALS, REGION
from local.hosts import LOOPBACK
from local.identities import keys_of
from local.sagemaker import LocalSageMaker
from local.stack import listen, served
from local.template import Function, Route, role_arns
from local.workers import Workers
from tests.deployment.stacks import Stack
from tests.proxies import SigningProxy
from tests.support import ApiClient

#: The master of the node that tests have.
MASTER: Final = role_arns()["MapRolesRole"]
#: Where SageMaker is emulated.
_IN_REGION: Final = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
_INVOKE: Final = "/2015-03-31/functions/"


@dataclass(frozen=True)
class Version:
    """What an alias points to."""

    arn: str
    timeout_seconds: int
    role: str  # its name
    environment: Mapping[str, str]


class Deployment:
    """Runs what is deployed under a stack's name, each version of a function in a process of its own.

    The registry and `sagemaker` are the account's: both go on when the deployment ends.
    """

    def __init__(self, stack: Stack, registry_url: str, sagemaker: LocalSageMaker) -> None:
        self.stack = stack
        self.functions: Mapping[str, Function] = {}
        self._sagemaker = sagemaker
        self._registry = SigningProxy(
            registry_url, Credentials(*CREDENTIALS.values()), REGION, backend_role=self._backend_role
        )
        self._lock = Lock()
        self._environments: dict[str, Workers] = {}
        self._masters: set[str] = set()
        self._runs: list[Future[Any]] = []
        self._physical_ids: dict[str, str] = {}
        self._server = make_server(LOOPBACK, 0, self._answer, threaded=True, request_handler=_Quiet)

    @contextmanager
    def running(self) -> Iterator[ApiClient]:
        """Serve the API, and AWS's where the functions look for it, with what is deployed now."""
        self._look()
        thread = Thread(target=self._server.serve_forever, name="aws", daemon=True)
        thread.start()
        listener = listen(0)
        app = gateway.app(self, {}, lambda: self.functions)
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        try:
            with self._registry, self._told_of_endpoints(), served(app, listener):
                yield ApiClient(url)
        finally:
            for each in self._environments.values():
                each.stop()
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    @contextmanager
    def _told_of_endpoints(self) -> Iterator[None]:
        """Hear of the endpoints' changes, and let what was begun about them end: a run that is cut off holds them."""
        self._sagemaker.on_change = self._hand_over
        try:
            yield
        finally:
            self._sagemaker.on_change = None
            for run in self._runs:  # some begin others
                run.exception()

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        """Run a function, by its handler, as its alias has it now."""
        (id,) = (function.id for function in self.functions.values() if function.handler == handler)
        return self._run(self.version(id), handler, event)

    def publish(self, event: Mapping[str, Any]) -> list["Future[Any]"]:
        """Hand an event to every function that a rule of the account has for it."""
        listening = [function for function in self.functions.values() if function.listens_to(event)]
        return [self.submit(function.handler, event) for function in listening]

    def _hand_over(self, event: dict[str, Any]) -> None:
        self.publish(event)

    def settle(self) -> None:
        """Tell that the stack has come to be, as CloudFormation does, and wait for what is done about it."""
        detail = {"stack-id": self.stack.id, "status-details": {"status": self.stack.status}}
        event = {
            "id": "a5c6b7d8-0000-4000-8000-000000000000",
            "source": "aws.cloudformation",
            "detail-type": "CloudFormation Stack Status Change",
            "detail": detail,
        }
        for done in self.publish(event):
            done.result()

    def version(self, id: str, qualifier: str = "live") -> Version:
        """Look up what a function's alias points to; `$LATEST` is what the next version would be."""
        found = self.stack.account.client("lambda").get_function_configuration(
            FunctionName=self._physical_ids[id], Qualifier=qualifier
        )
        role = found["Role"].rpartition("/")[2]
        return Version(found["FunctionArn"], found["Timeout"], role, found["Environment"]["Variables"])

    def versions(self, id: str) -> list[str]:
        """List the versions of a function that there are, in force or not."""
        answer = self.stack.account.answer("lambda", "list_versions_by_function", FunctionName=self._physical_ids[id])
        return [each["Version"] for each in answer["Versions"]]

    def _run(self, version: Version, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        run = self._workers(version).submit(handler, event)
        self._runs.append(run)
        return run

    def _workers(self, version: Version) -> Workers:
        with self._lock:
            if version.arn not in self._environments:
                addresses = {"AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self._server.server_port}"}
                if "OPENSEARCH_URL" in version.environment:
                    registries = dict(self._registries())
                    addresses["OPENSEARCH_URL"] = registries[version.environment["OPENSEARCH_URL"]]
                given = {**version.environment, **keys_of(version.role), **_IN_REGION, **addresses}
                self._environments[version.arn] = Workers({}, 1, extra=given, timeout_seconds=version.timeout_seconds)
            return self._environments[version.arn]

    def _registries(self) -> Iterator[tuple[str, str]]:
        """Give the address of each domain of the account, and of what stands for it here."""
        opensearch = self.stack.account.client("opensearch")
        for domain in opensearch.list_domain_names()["DomainNames"]:
            status = opensearch.describe_domain(DomainName=domain["DomainName"])["DomainStatus"]
            yield f"https://{status['Endpoints']['vpc']}", self._registry.url

    def _backend_role(self, role: str) -> str:
        """Give a role's ARN; the master of the account's domain is for the registry here the one that it began with."""
        arn = f"arn:aws:iam::{self.stack.account.id}:role/{role}"
        return MASTER if arn in self._masters else arn

    def _look(self) -> None:
        """Read which functions there are, what calls them, and whose role is whose."""
        account = self.stack.account
        resources = self.stack.resources()
        self._masters = {
            each["ParameterValue"]
            for stack in account.answer("cloudformation", "describe_stacks")["Stacks"]
            for each in stack["Parameters"]
            if each["ParameterKey"] == "MasterRoleArn"
        }
        self._physical_ids = {id: name for id, (kind, name) in resources.items() if kind == "AWS::Lambda::Function"}
        routes = list(self._routes(resources))
        rules = list(self._rules(resources))
        functions = account.client("lambda")
        self.functions = {}
        for id, name in self._physical_ids.items():
            live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
            self.functions[id] = Function(
                id=id,
                handler=live["Handler"],
                role=live["Role"].rpartition("/")[2],
                timeout_seconds=live["Timeout"],
                environment=frozenset(live["Environment"]["Variables"]),
                routes=[Route(method, path, id) for method, path, called in routes if called == f"{name}:live"],
                triggers=frozenset(),
                patterns=[pattern for pattern, called in rules if called == f"{name}:live"],
            )

    def _routes(self, resources: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
        """Give method and path of each route of the API, and the function with its qualifier."""
        (api,) = (physical_id for kind, physical_id in resources.values() if kind == "AWS::ApiGateway::RestApi")
        answer = self.stack.account.answer("apigateway", "get_resources", restApiId=api, embed=["methods"])
        for resource in answer["items"]:
            for method, declared in resource.get("resourceMethods", {}).items():
                arn = declared["methodIntegration"]["uri"].partition(_INVOKE)[2].removesuffix("/invocations")
                yield method, resource["path"], arn.partition(":function:")[2]

    def _rules(self, resources: Mapping[str, tuple[str, str]]) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Give the pattern of each rule, and the function with its qualifier."""
        events = self.stack.account.client("events")
        for kind, physical_id in resources.values():
            if kind == "AWS::Events::Rule":
                name = physical_id.rpartition("/")[2]
                pattern = events.describe_rule(Name=name).get("EventPattern")
                for target in events.list_targets_by_rule(Rule=name)["Targets"] if pattern else ():
                    yield json.loads(pattern), target["Arn"].partition(":function:")[2]

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        if request.path.startswith(_INVOKE):
            response = self._invoke(request)
        elif request.headers.get("X-Amz-Target", "").startswith("SageMaker."):
            response = self._sagemaker.answer(environ)
        else:
            response = Response("the way through calls no such service", HTTPStatus.NOT_IMPLEMENTED)
        return response(environ, start_response)

    def _invoke(self, request: Request) -> Response:
        """Answer an asynchronous Invoke of an alias, by its name or its ARN."""
        assert request.headers["X-Amz-Invocation-Type"] == "Event"
        called = unquote(request.path).removeprefix(_INVOKE).removesuffix("/invocations").rpartition(":function:")[2]
        name, _, qualifier = called.partition(":")
        (id,) = (id for id, physical_id in self._physical_ids.items() if physical_id == name)
        handler = self.functions[id].handler
        self._run(self.version(id, qualifier), handler, request.get_json(force=True))
        return Response(status=HTTPStatus.ACCEPTED)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""
