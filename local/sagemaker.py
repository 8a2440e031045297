"""SageMaker on this machine: moto's, with endpoints that take time, refusals as the service has them, faults on order.

Every stack has one of its own, so neither endpoints nor orders nor listeners of two stacks in one process can mix.
"""

import json
import re
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, NamedTuple
from uuid import uuid4

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.request import Request
from moto.core.responses import ActionResult
from moto.core.utils import get_service_model, utcnow
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpoint, FakeEndpointConfig, Model, SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemaker.utils import arn_formatter
from werkzeug.wrappers import Response

MOVING_SECONDS: Final = 2.0
# FailureReasons as people report them of the service.
IMAGE_NOT_FOUND: Final = (
    "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
    "execution role used to create the model has permissions to access them."
)
PING_FAILED: Final = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
_MOVING: Final = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
_SERVING: Final = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})
_STOP_SECONDS: Final = 5


class Fault(Enum):
    """What can be ordered: a refusal, whose value is the error code, or the states that follow an accepted call."""

    QUOTA = "ResourceLimitExceeded"
    ACCESS_DENIED = "AccessDeniedException"
    THROTTLING = "ThrottlingException"
    CONFIG_NOT_VISIBLE = "ValidationException"
    FAILURE = ("Failed",)
    SILENT_ROLLBACK = ("InService",)
    ROLLBACK = ("RollingBack", "InService")
    ROLLBACK_FAILURE = ("UpdateRollbackFailed",)

    @property
    def operations(self) -> frozenset[str]:
        """Give the operations that it strikes where the order names none: a rollback needs something to return to."""
        rollback = self in (Fault.SILENT_ROLLBACK, Fault.ROLLBACK, Fault.ROLLBACK_FAILURE)
        return frozenset({"UpdateEndpoint"} if rollback else {"CreateEndpoint", "UpdateEndpoint"})


_SENTENCES: Final = {
    Fault.QUOTA: (
        "The account-level service limit '{instance_type} for endpoint usage' is 0 Instances, with current utilization "
        "of 0 Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request an increase "
        "for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this "
        "quota."
    ),
    Fault.ACCESS_DENIED: (
        "User: arn:aws:sts::{account}:assumed-role/byob/byob is not authorized to perform: sagemaker:{operation} on "
        "resource: {resource} because no identity-based policy allows the sagemaker:{operation} action"
    ),
    Fault.THROTTLING: "Rate exceeded",
    Fault.CONFIG_NOT_VISIBLE: 'Could not find endpoint configuration "{config}".',
}


@dataclass(slots=True)
class _Order:
    fault: Fault
    endpoint: str
    operations: frozenset[str]
    reason: str
    left: int


@dataclass(frozen=True, slots=True)
class _State:
    """A state to enter; `config` None leaves the endpoint with the config that it has."""

    status: str
    reason: str = ""
    config: FakeEndpointConfig | None = None


_GONE: Final = _State("")


@dataclass(frozen=True, slots=True)
class _Move:
    """The states still ahead of an endpoint; the first is entered at `due` on the monotonic clock."""

    due: float
    ahead: tuple[_State, ...]


class _Kind(NamedTuple):
    noun: str
    resource: str
    parameter: str
    store: str


_ENDPOINT: Final = _Kind("endpoint", "endpoint", "EndpointName", "endpoints")
_CONFIG: Final = _Kind("endpoint configuration", "endpoint-config", "EndpointConfigName", "endpoint_configs")
_MODEL: Final = _Kind("model", "model", "ModelName", "_models")
# In this order: a call that names an endpoint and a config is about the endpoint.
_KINDS: Final = (_ENDPOINT, _CONFIG, _MODEL)


class LocalSageMaker(SageMakerModelBackend):
    """Answers SageMaker's API and tells `on_change` of every change of an endpoint's state.

    `on_change` takes an EventBridge event, in a thread of ours, one at a time and in order; it should return soon.
    `moving_seconds` is how long each state that moves lasts; with 0 the next request sees the state that follows.
    """

    def __init__(
        self,
        region: str,
        *,
        moving_seconds: float = MOVING_SECONDS,
        on_change: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(region, DEFAULT_ACCOUNT_ID)
        self.moving_seconds = moving_seconds
        self.on_change = on_change
        self._changed = threading.Condition()  # guards everything here, moto's state included
        self._moves: dict[str, _Move] = {}
        self._orders: list[_Order] = []
        self._events: list[dict[str, Any]] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="sagemaker", daemon=True)

    def start(self) -> None:
        """Begin to tell of changes."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what has not been told of yet never will be. May be called twice, or without a start."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)  # a listener that hangs must not hang the stack

    def order(
        self, fault: Fault, *, endpoint: str, times: int = 1, operation: str | None = None, reason: str = ""
    ) -> None:
        """Have the next `times` calls about `endpoint` strike `fault`; earlier orders are served first.

        Without `operation`, such as "DescribeEndpoint", these are CreateEndpoint and UpdateEndpoint, for a rollback
        UpdateEndpoint alone. Models and configs named `<endpoint>-…` are the endpoint's. `reason` becomes the
        FailureReason of the states that follow; SageMaker is known to give one after a rollback too, but not always.
        """
        operations = frozenset({operation}) if operation else fault.operations
        with self._changed:
            self._orders.append(_Order(fault, endpoint.lower(), operations, reason, times))

    def set_state(self, endpoint: str, status: str, *, reason: str = "") -> None:
        """Put an endpoint into a state, in which it stays; raise moto's ValidationError where there is none."""
        with self._changed:
            self._settle()
            found = self._find(_ENDPOINT, endpoint)
            self._moves.pop(found.endpoint_name, None)
            self._enter(found, _State(status, reason))

    def tags_of(self, arn: str) -> dict[str, str]:
        """Give the tags of an endpoint, a config or a model; none of what is not there."""
        try:
            return {tag["Key"]: tag["Value"] for tag in self._get_resource_from_arn(arn).tags or []}
        except ValidationError:
            return {}

    def is_in_service(self, endpoint: str) -> bool:
        """Tell whether an endpoint answers its callers, which it goes on to do while it is updated."""
        with self._changed:
            self._settle()
            found = self._existing(_ENDPOINT, endpoint)
            return found is not None and found.endpoint_status in _SERVING

    def answer(self, environ: dict[str, Any]) -> Response:
        """Answer one request of SageMaker's JSON protocol, its X-Amz-Target `SageMaker.<operation>`."""
        request = Request(environ)
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        api = _Api(self)
        api.setup_class(request)
        with self._changed:
            self._settle()
            refusal = self._ordered_refusal(operation, request.get_json(force=True))
            if refusal:
                return refusal
            status, headers, body = api.call_action()
        return Response(body, status, headers)

    # What moto does otherwise. Its responses call these by keyword.

    def create_model(self, model_name: str, *arguments: Any, **named: Any) -> Model:
        """Refuse a name that exists, which moto writes over."""
        self._refuse_existing(_MODEL, model_name)
        return super().create_model(model_name, *arguments, **named)

    def describe_model(self, model_name: str) -> Model:
        """Find it, or refuse in SageMaker's words."""
        model: Model = self._find(_MODEL, model_name)
        return model

    def delete_model(self, model_name: str) -> None:
        """Delete it, or refuse in SageMaker's words."""
        del self._models[self._find(_MODEL, model_name).model_name]

    def create_endpoint_config(
        self, endpoint_config_name: str, production_variants: list[dict[str, Any]], *_: Any, **named: Any
    ) -> FakeEndpointConfig:
        """Refuse a name that exists, an instance type or a model that does not."""
        self._refuse_existing(_CONFIG, endpoint_config_name)
        config = _EndpointConfig(  # type: ignore[abstract] # moto's annotations; it makes them itself
            self.account_id, self.region_name, endpoint_config_name, production_variants=production_variants, **named
        )
        for variant in production_variants:
            self._find(_MODEL, variant["ModelName"])
        self.endpoint_configs[endpoint_config_name] = config
        return config

    def describe_endpoint_config(self, endpoint_config_name: str) -> dict[str, Any]:
        """Find it, or refuse in SageMaker's words."""
        return _filled(self._find(_CONFIG, endpoint_config_name).response_object)

    def delete_endpoint_config(self, endpoint_config_name: str) -> None:
        """Delete it, in use or not, as SageMaker does; or refuse in its words."""
        del self.endpoint_configs[self._find(_CONFIG, endpoint_config_name).endpoint_config_name]

    def create_endpoint(
        self, endpoint_name: str, endpoint_config_name: str, tags: list[dict[str, str]]
    ) -> FakeEndpoint:
        """Begin to create; refuse a name that exists and a config that does not."""
        self._refuse_existing(_ENDPOINT, endpoint_name)
        config = self._find(_CONFIG, endpoint_config_name)
        endpoint = self.endpoints[endpoint_name] = self._made(endpoint_name, config, tags)
        self._begin(endpoint, "Creating", self._ordered_way("CreateEndpoint", endpoint) or (_State("InService"),))
        return endpoint

    def update_endpoint(self, endpoint_name: str, endpoint_config_name: str) -> FakeEndpoint:
        """Begin to roll to a config, until then shown with the one it has; refuse while it moves or once it failed.

        The config that it has already is accepted: nothing public says that SageMaker refuses it.
        """
        endpoint: FakeEndpoint = self._find(_ENDPOINT, endpoint_name)
        _refuse_moving(endpoint)
        # SageMaker API, DescribeEndpoint, Failed: "DeleteEndpoint is the only operation that can be performed".
        if endpoint.endpoint_status == "Failed":
            raise ValidationError(f'Cannot update failed endpoint "{endpoint.arn}".')
        new = _State("InService", config=self._find(_CONFIG, endpoint_config_name))
        self._begin(endpoint, "Updating", self._ordered_way("UpdateEndpoint", endpoint) or (new,))
        return endpoint

    def describe_endpoint(self, endpoint_name: str) -> dict[str, Any]:
        """Find it, or refuse in SageMaker's words."""
        return _filled(self._find(_ENDPOINT, endpoint_name).response_object)

    def delete_endpoint(self, endpoint_name: str) -> None:
        """Begin to delete; refuse while it moves."""
        endpoint = self._find(_ENDPOINT, endpoint_name)
        _refuse_moving(endpoint)
        self._begin(endpoint, "Deleting", (_GONE,))

    def _get_resource_from_arn(self, arn: str) -> Any:
        """Find what ListTags asks for; moto breaks where there is nothing."""
        resource, _, name = arn.rpartition(":")[2].partition("/")
        kind = next((kind for kind in _KINDS if kind.resource == resource), None)
        return self._find(kind, name) if kind else super()._get_resource_from_arn(arn)

    def _find(self, kind: _Kind, name: str) -> Any:
        found = self._existing(kind, name)
        if found is None:
            raise ValidationError(f'Could not find {kind.noun} "{self._arn(kind, name)}".')
        return found

    def _refuse_existing(self, kind: _Kind, name: str) -> None:
        if self._existing(kind, name) is not None:
            raise ValidationError(f'Cannot create already existing {kind.noun} "{self._arn(kind, name)}".')

    def _existing(self, kind: _Kind, name: str) -> Any:
        # SageMaker API, CreateEndpoint: "The name is case-insensitive".
        things: Mapping[str, Any] = getattr(self, kind.store)
        return next((thing for key, thing in things.items() if key.lower() == name.lower()), None)

    def _arn(self, kind: _Kind, name: str) -> str:
        # SageMaker writes an endpoint's name small in its ARN, as its documented events show.
        return arn_formatter(
            kind.resource, name.lower() if kind is _ENDPOINT else name, self.account_id, self.region_name
        )

    def _made(self, name: str, config: FakeEndpointConfig, tags: list[dict[str, str]]) -> FakeEndpoint:
        endpoint = FakeEndpoint(  # type: ignore[abstract] # as above
            self.account_id,
            self.region_name,
            name,
            config.endpoint_config_name,
            production_variants=config.production_variants,
            data_capture_config=config.data_capture_config,
            tags=tags,
        )
        endpoint.arn = self._arn(_ENDPOINT, name)
        return endpoint

    # Orders.

    def _take(self, operation: str, resource: str, *, refusal: bool) -> _Order | None:
        """Use up one of what is ordered for an operation on an ARN."""
        kind, _, name = resource.rpartition(":")[2].lower().partition("/")
        for order in self._orders:
            about = name == order.endpoint if kind == _ENDPOINT.resource else name.startswith(f"{order.endpoint}-")
            if about and operation in order.operations and isinstance(order.fault.value, str) is refusal:
                order.left -= 1
                if order.left < 1:
                    self._orders.remove(order)
                return order
        return None

    def _ordered_way(self, operation: str, endpoint: FakeEndpoint) -> tuple[_State, ...]:
        order = self._take(operation, endpoint.arn, refusal=False)
        return tuple(_State(status, order.reason) for status in order.fault.value) if order else ()

    def _ordered_refusal(self, operation: str, parameters: Mapping[str, Any]) -> Response | None:
        named = (self._arn(kind, parameters[kind.parameter]) for kind in _KINDS if kind.parameter in parameters)
        resource = parameters.get("ResourceArn") or next(named, "")
        order = self._take(operation, resource, refusal=True)
        if order is None:
            return None
        config_name = parameters.get("EndpointConfigName", "")
        config = self._existing(_CONFIG, config_name)
        variant = config.production_variants[0] if config else {}
        sentence = _SENTENCES[order.fault].format(
            account=self.account_id,
            operation=operation,
            resource=resource,
            config=self._arn(_CONFIG, config_name),
            instance_type=variant.get("InstanceType", "ml.m5.large"),
            count=variant.get("InitialInstanceCount", 1),
        )
        # By hand: moto warns of codes that SageMaker's model does not declare, though all of AWS may answer with them.
        body = json.dumps({"__type": order.fault.value, "message": sentence})
        return Response(body, HTTPStatus.BAD_REQUEST, content_type="application/x-amz-json-1.1")

    # States, and telling of them.

    def _begin(self, endpoint: FakeEndpoint, status: str, ahead: tuple[_State, ...]) -> None:
        self._enter(endpoint, _State(status))
        self._moves[endpoint.endpoint_name] = _Move(monotonic() + self.moving_seconds, ahead)

    def _settle(self) -> None:
        """Carry out what is due. Each request does so first: what it sees must not hang on when the thread wakes."""
        now = monotonic()
        for name in list(self._moves):
            while (move := self._moves.get(name)) and move.due <= now:
                state, *ahead = move.ahead
                if ahead:
                    self._moves[name] = _Move(move.due + self.moving_seconds, tuple(ahead))
                else:
                    del self._moves[name]
                if state is _GONE:
                    del self.endpoints[name]  # without an event: none is documented for it
                else:
                    self._enter(self.endpoints[name], state)

    def _enter(self, endpoint: Any, state: _State) -> None:
        endpoint.endpoint_status = state.status
        endpoint.failure_reason = state.reason
        endpoint.last_modified_time = utcnow()
        if state.config:
            endpoint.endpoint_config_name = state.config.endpoint_config_name
            made = self._made(endpoint.endpoint_name, state.config, endpoint.tags)
            endpoint.production_variants = made.production_variants
        self._events.append(_event(endpoint, self.account_id, self.region_name))
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._settle()
                while not self._events and not self._stopped:
                    due = min((move.due for move in self._moves.values()), default=None)
                    self._changed.wait(None if due is None else max(0.0, due - monotonic()))
                    self._settle()
                if self._stopped:
                    return
                event, on_change = self._events.pop(0), self.on_change
            if on_change:
                try:
                    on_change(event)
                except Exception:  # noqa: BLE001 - a listener's failure is its own; the next event goes out all the same
                    traceback.print_exc()


class _Api(SageMakerResponse):
    """moto's reading and writing of SageMaker's protocol, before a backend of ours."""

    def __init__(self, sagemaker: LocalSageMaker) -> None:
        super().__init__()
        self._sagemaker = sagemaker

    @property
    def sagemaker_backend(self) -> LocalSageMaker:
        return self._sagemaker

    def update_endpoint(self) -> ActionResult:
        endpoint = self._sagemaker.update_endpoint(
            self._get_param("EndpointName"), self._get_param("EndpointConfigName")
        )
        return ActionResult({"EndpointArn": endpoint.arn})

    def describe_model(self) -> ActionResult:
        return ActionResult(_filled(self._sagemaker.describe_model(self._get_param("ModelName")).response_object))


class _EndpointConfig(FakeEndpointConfig):
    """Takes the instance types that botocore knows; moto's list is years old."""

    def validate_instance_type(self, instance_type: str) -> None:
        allowed = get_service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum
        if instance_type not in allowed:
            raise ValidationError(
                f"1 validation error detected: Value '{instance_type}' at 'productionVariants.1.member.instanceType' "
                f"failed to satisfy constraint: Member must satisfy enum value set: [{', '.join(allowed)}]"
            )


def _refuse_moving(endpoint: FakeEndpoint) -> None:
    if endpoint.endpoint_status in _MOVING:
        raise ValidationError(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _filled(described: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty: moto shows structures such as VpcConfig without their required members."""
    return {name: value for name, value in described.items() if value}


def _event(endpoint: Any, account: str, region: str) -> dict[str, Any]:
    """Give the EventBridge event as SageMaker documents it: states in UPPER_SNAKE, times in ms, tags as an object."""
    detail = {
        "EndpointName": endpoint.endpoint_name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.endpoint_config_name,
        "ProductionVariants": endpoint.production_variants,
        "EndpointStatus": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", endpoint.endpoint_status).upper(),
        "CreationTime": _milliseconds(endpoint.creation_time),
        "LastModifiedTime": _milliseconds(endpoint.last_modified_time),
        "Tags": {tag["Key"]: tag["Value"] for tag in endpoint.tags},
    }
    if endpoint.failure_reason:
        detail["FailureReason"] = endpoint.failure_reason
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "SageMaker Endpoint State Change",
        "source": "aws.sagemaker",
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [endpoint.arn],
        "detail": detail,
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)  # moto's times are naive, in UTC
