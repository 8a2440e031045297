"""Mends of moto's interpreter of Amazon States Language, made once, when this is imported.

moto's reads definitions, paths, intrinsic functions and choices as the service does. What it lacks is put in here:
where its calls go, the form of requests and results, tasks that wait for Batch without asking all the time, waits and
retries that end with the execution, and distributed maps with tolerated failures, of thousands of items.
"""

import copy
import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import uuid4

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from botocore.response import StreamingBody
from moto.core.utils import get_service_model
from moto.stepfunctions.parser import models as _models  # noqa: F401 - loads all of the interpreter
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError, TimeoutSeconds
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import distributed_iteration_component
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor_worker,
    inline_item_processor_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import Job, JobPool
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_batch import (
    StateTaskServiceBatch,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import AWSExecutionDetails
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.program_state import ProgramRunning
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, encoding, json_path

#: Children of a distributed map at one time; Batch here runs a few jobs at a time anyway.
CHILDREN_AT_ONCE: Final = 100
_LONGEST_FUNCTION_SECONDS: Final = 900  # Lambda's limit
_LOOK_SECONDS: Final = 0.5  # how late a pause may hear that its execution is stopped


class Jobs(Protocol):
    """What knows when a Batch job is over."""

    def wait(self, job_id: str, seconds: float) -> bool:
        """Tell whether a job is over, waiting for it that long."""


class Surroundings(AWSExecutionDetails):
    """What an execution stands in; all of its frames share one.

    `url` is where AWS answers; `pace` is what pauses and retry intervals are multiplied by.
    """

    def __init__(
        self, account: str, region: str, role_arn: str, *, pace: float, jobs: Jobs, client: Callable[[str], Any]
    ) -> None:
        super().__init__(account, region, role_arn)
        self.pace = pace
        self.jobs = jobs
        self.client = client


class Clients:
    """One client a service, made on first use: making one takes longer than most of its calls."""

    def __init__(self, region: str, credentials: dict[str, str]) -> None:
        self.url = ""
        self._arguments = {
            "region_name": region,
            "aws_access_key_id": credentials["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": credentials["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": credentials["AWS_SESSION_TOKEN"],
        }
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """Give the client of a service; the retries are the definition's."""
        with self._lock:
            if service not in self._clients:
                config = Config(
                    retries={"total_max_attempts": 1},
                    read_timeout=_LONGEST_FUNCTION_SECONDS,
                    max_pool_connections=CHILDREN_AT_ONCE,
                    parameter_validation=False,
                )
                self._clients[service] = boto3.Session().client(
                    service, endpoint_url=self.url, config=config, **self._arguments
                )
            return self._clients[service]


class _Credentials(StateCredentials):
    """A role, and the surroundings of the execution that takes it on: all that reaches the making of clients."""

    def __init__(self, role_arn: str, surroundings: Surroundings) -> None:
        super().__init__(role_arn)
        self.surroundings = surroundings


def _eval_state_credentials(self: Any, env: Any) -> _Credentials:
    if not self.credentials:
        return _Credentials(env.aws_execution_details.role_arn, env.aws_execution_details)
    self.credentials.eval(env=env)
    return _Credentials(env.stack.pop().role_arn, env.aws_execution_details)


def _boto_client_for(region: str, service: str, state_credentials: Any = None) -> Any:  # noqa: ARG001 - moto's form
    if state_credentials is None:
        raise NotImplementedError(
            "local mode knows no ItemReader and no ResultWriter; hand the items over by ItemsPath"
        )
    return state_credentials.surroundings.client(service)


# Requests and results in the service's form: "AWS service integrations", PascalCase of the API's own names.


def _operation(task: Any, service: str | None, action: str | None) -> OperationModel:
    model = get_service_model(task._get_boto_service_name(service))
    wanted = task._get_boto_service_action(action)
    return next(model.operation_model(name) for name in model.operation_names if xform_name(name) == wanted)


def _normalise_parameters(
    self: Any, parameters: dict[str, Any], boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    request = _request(parameters, _operation(self, boto_service_name, service_action_name).input_shape, "")
    parameters.clear()
    parameters.update(request)


def _normalise_response(
    self: Any, response: Any, boto_service_name: str | None = None, service_action_name: str | None = None
) -> None:
    shaped = _result(response, _operation(self, boto_service_name, service_action_name).output_shape)
    response.clear()
    response.update(shaped)


def _request(value: Any, shape: Shape, path: str) -> Any:
    """Give a request in the API's own names; like the service, refuse a field or a type that it does not know."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = {_pascal(name): (name, member) for name, member in shape.members.items()}
        unknown = sorted(set(value) - set(members))
        if unknown:
            raise ValueError(f'The field "{path}{unknown[0]}" is not supported by Step Functions')
        return {members[name][0]: _request(given, members[name][1], f"{path}{name}.") for name, given in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_request(given, shape.member, path) for given in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: _request(given, shape.value, f"{path}{name}.") for name, given in value.items()}
    if isinstance(shape, StringShape) and not isinstance(value, str):
        raise TypeError(f'The value for the field "{path.removesuffix(".")}" must be a STRING')
    return value


def _result(value: Any, shape: Shape | None) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {_pascal(name): _result(given, shape.members.get(name)) for name, given in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_result(given, shape.member) for given in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {name: _result(given, shape.value) for name, given in value.items()}
    return value.read().decode() if isinstance(value, StreamingBody) else value


def _pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def _default(_self: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


# Batch, .sync.


def _attach_aws_environment_variables(parameters: dict[str, Any]) -> None:
    environment = parameters.setdefault("ContainerOverrides", {}).setdefault("Environment", [])
    environment.append({"Name": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"})


def _build_sync_resolver(self: Any, env: Any, **_: Any) -> Callable[[], Any]:
    """Wait for the job, not for the next look at it; end it where its task does not end by itself."""
    job_id = env.stack.pop()["JobId"]
    surroundings = env.aws_execution_details
    batch = surroundings.client("batch")

    def resolve() -> Any:
        over = surroundings.jobs.wait(job_id, _LOOK_SECONDS)
        if not env.is_running():
            # Step Functions developer guide, "Run a Job (.sync)": it tries to cancel the job when the task is ended.
            batch.terminate_job(jobId=job_id, reason="Job terminated by Step Functions.")
            return None
        if not over:
            return None
        described = batch.describe_jobs(jobs=[job_id])
        self._normalise_response(described, service_action_name="describe_jobs")
        (job,) = described["Jobs"]
        if job["Status"] == "SUCCEEDED":
            return job
        error = StatesErrorNameType.StatesTaskFailed
        details = {
            "resource": self._get_sfn_resource(),
            "resourceType": self._get_sfn_resource_type(),
            "error": error.to_name(),
            "cause": encoding.to_json_str(job, separators=(",", ":")),
        }
        raise _failure(env, error, HistoryEventType.TaskFailed, taskFailedEventDetails=details)

    return resolve


def _eval_sync(_self: Any, env: Any, sync_resolver: Callable[[], Any], **_: Any) -> Any:
    while env.is_running():
        if result := sync_resolver():
            return result
    sync_resolver()
    return None


def _failure(env: Any, error: Any, event: Any, **details: dict[str, Any]) -> Exception:
    failure = FailureEvent(env, StatesErrorName(typ=error), event, EventDetails(**details))  # type: ignore[typeddict-item] # as its callers give it
    raised: Exception = FailureEventException(failure_event=failure)
    return raised


# Waits, retries, time limits, ends.


def _pause(env: Any, seconds: float) -> None:
    """Wait, or until the execution ends."""
    until = time.monotonic() + seconds * env.aws_execution_details.pace
    while env.is_running() and (left := until - time.monotonic()) > 0:
        env.program_state_event.wait(min(left, _LOOK_SECONDS))


def _wait_interval(_self: Any, env: Any, wait_seconds: float) -> None:
    _pause(env, wait_seconds)


def _eval_retrier(self: Any, env: Any) -> None:
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    for part in (self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy):
        part.eval(env=env)
    _pause(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def _evaluate_with_timeout(self: Any, env: Any) -> None:
    """Evaluate a state in a frame of its own; only one that has a time limit needs a thread for it."""
    self.timeout.eval(env=env)
    seconds = env.stack.pop()
    frame = env.open_frame()
    frame.states.reset(input_value=env.states.get_input())
    frame.stack = copy.deepcopy(env.stack)
    try:
        if seconds >= TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS:
            self._eval_execution(frame)
        else:
            _limited(functools.partial(self._eval_execution, frame), seconds)
    except Exception:
        if env.is_running():
            raise
        return  # stopped: what came of it afterwards counts no more
    finally:
        frame.set_ended()
        env.close_frame(frame)
    if not env.is_running():
        return
    output = frame.stack[-1]
    env.stack.append(output)
    if not self._is_language_query_jsonpath():
        env.states.set_result(output)
    if self.assign_decl:
        self.assign_decl.eval(env=env)
    if self.result_selector:
        self.result_selector.eval(env=env)
    if self.result_path:
        self.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


def _limited(call: Callable[[], None], seconds: float) -> None:
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - handed to who waits
            raised.append(error)

    thread = threading.Thread(target=run, name="task", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise EvalTimeoutError


_eval_program_limited: Final = Program.eval


def _eval_program(self: Any, env: Any) -> None:
    if env._program_state is not None and not env.is_running():
        return
    if self.timeout_seconds is not None:
        _eval_program_limited(self, env)
        return
    env.next_state_name = self.start_at.start_at_name
    EvalComponent.eval(self, env)


def _unless_over(change: Callable[..., None]) -> Callable[..., None]:
    """Keep the first end of an execution: one that was stopped does not fail afterwards."""

    @functools.wraps(change)
    def changed(self: Any, *arguments: Any, **named: Any) -> None:
        with self._state_mutex:
            if self._program_state is None or isinstance(self._program_state, ProgramRunning):
                change(self, *arguments, **named)

    return changed


# Distributed maps.


def _map_run(self: Any, env: Any, eval_input: Any) -> None:
    """Run each item as a child execution; fail when more fail than are tolerated, and abort the others then."""
    items = env.stack.pop()
    record, program = eval_input.map_run_record, self._get_iteration_program()
    worker = self._create_worker(env=env, eval_input=eval_input, job_pool=JobPool(program, []))
    jobs = [Job(index, program, item) for index, item in enumerate(items)]
    exceeded = threading.Event()

    def run(job: Any) -> None:
        if exceeded.is_set() or not env.is_running():
            return
        child = env.open_inner_frame()
        try:
            worker._eval_job(child, job)
        finally:
            env.delete_frame(child)
        if _is_exceeded(record, len(jobs)) and not exceeded.is_set():
            exceeded.set()
            with env._state_mutex:
                for other in env._frames:
                    other.set_stop(stop_date=datetime.now(UTC), cause=None, error=None)

    at_once = min(record.max_concurrency or CHILDREN_AT_ONCE, CHILDREN_AT_ONCE, len(jobs) or 1)
    with ThreadPoolExecutor(at_once, thread_name_prefix="map") as threads:
        for _ in threads.map(run, jobs):
            pass
    if exceeded.is_set():
        error = StatesErrorNameType.StatesExceedToleratedFailureThreshold
        details = {"error": error.to_name(), "cause": "The specified tolerated failure threshold was exceeded"}
        raise _failure(env, error, HistoryEventType.MapRunFailed, mapRunFailedEventDetails=details)
    env.stack.append([job.job_output for job in jobs])


def _is_exceeded(record: Any, total: int) -> bool:
    """Compare with what is tolerated; where neither count nor percentage is given, nothing is."""
    failed = record.item_counter.failed.get() + record.item_counter.timed_out.get()
    count, percentage = record.tolerated_failure_count, record.tolerated_failure_percentage
    over_count = failed > count and (count > 0 or not percentage)
    over_percentage = bool(percentage) and 100 * failed / total > percentage
    return over_count or over_percentage


def _eval_child_input(self: Any, env_frame: Any) -> None:
    """Select a child's input in its parent's context, then give it the context of an execution of its own."""
    inline_item_processor_worker.InlineItemProcessorWorker._eval_input(self, env_frame)
    context, name = env_frame.states.context_object.context_object_data, str(uuid4())
    arn = self._map_run_record.map_state_machine_arn.replace(":stateMachine:", ":execution:")
    own = {"Id": f"{arn}:{name}", "Name": name, "Input": env_frame.states.get_input(), "StartTime": datetime.now(UTC)}
    context["Execution"] = {**context["Execution"], **own}


# Definitions.

_parse: Final = AmazonStateLanguageParser.parse


def _parse_as_the_service(definition: str) -> Any:
    """Take a whole number for ToleratedFailurePercentage too, which moto's grammar does not."""
    try:
        document = json.loads(definition)
    except ValueError:
        return _parse(definition)  # which says what is wrong with it
    return _parse(json.dumps(_with_fractions(document)))


def _with_fractions(part: Any) -> Any:
    if isinstance(part, list):
        return [_with_fractions(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: float(value) if name == "ToleratedFailurePercentage" else _with_fractions(value)
        for name, value in part.items()
    }


def _mend() -> None:
    for name, module in list(sys.modules.items()):
        calls = getattr(module, "boto_client_for", None) is boto_client.boto_client_for
        if calls and name.startswith("moto.stepfunctions.parser.") and module is not boto_client:
            module.boto_client_for = _boto_client_for  # type: ignore[attr-defined]
    mended: dict[Any, dict[str, Any]] = {
        AmazonStateLanguageParser: {"parse": staticmethod(_parse_as_the_service)},
        StateTask: {"_eval_state_credentials": _eval_state_credentials},
        StateTaskService: {"_normalise_parameters": _normalise_parameters, "_normalise_response": _normalise_response},
        StateTaskServiceCallback: {"_eval_sync": _eval_sync},
        StateTaskServiceBatch: {
            "_attach_aws_environment_variables": staticmethod(_attach_aws_environment_variables),
            "_build_sync_resolver": _build_sync_resolver,
        },
        encoding._DateTimeEncoder: {"default": _default},
        WaitFunction: {"_wait_interval": _wait_interval},
        RetrierDecl: {"_eval_body": _eval_retrier},
        ExecutionState: {"_evaluate_with_timeout": _evaluate_with_timeout},
        Program: {"eval": _eval_program},
        Environment: {
            "set_error": _unless_over(Environment.set_error),
            "set_timed_out": _unless_over(Environment.set_timed_out),
        },
        distributed_iteration_component.DistributedIterationComponent: {"_map_run": _map_run},
        distributed_item_processor_worker.DistributedItemProcessorWorker: {"_eval_input": _eval_child_input},
    }
    for mended_class, methods in mended.items():
        for method, mend in methods.items():
            setattr(mended_class, method, mend)
    # Reading a path takes far longer than following it, and a definition has few of them.
    json_path.parse = functools.lru_cache(maxsize=1024)(json_path.parse)  # type: ignore[attr-defined] # its import
    # What fails is told by DescribeExecution, not by lines at the terminal.
    logging.getLogger("moto.stepfunctions").addHandler(logging.NullHandler())


_mend()
