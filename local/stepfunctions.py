"""Step Functions on this machine: moto's interpreter, mended, with executions that stop, and that tell of their states.

Every stack has one of its own, so that its executions call that stack's functions and its Batch.
"""

import functools
import queue
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from moto.core.exceptions import AWSError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.request import Request
from moto.core.responses import ActionResult
from moto.stepfunctions.exceptions import ExecutionDoesNotExist
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramTimedOut
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse
from werkzeug.wrappers import Response

from local.asl import Clients, Jobs, Surroundings

_STOP_SECONDS: Final = 5


# A program keeps nothing of its executions, and reading one takes longer than running many.
@functools.lru_cache(maxsize=64)
def _program(definition: str) -> Any:
    return AmazonStateLanguageParser.parse(definition)[0]


class InvalidDefinitionError(AWSError):
    """Raised for what is no state machine; moto's own reaches callers without a code."""

    TYPE = "InvalidDefinition"
    STATUS = 400


class LocalStepFunctions(StepFunctionsParserBackend):
    """Answers Step Functions' API and tells `on_change` of every change of an execution's status.

    `on_change` takes an EventBridge event, in a thread of ours, one at a time and in order; it should return soon.
    `pace` is what Wait states and retry intervals are multiplied by: 0.01 makes 30 s 0.3 s. Time limits stay.
    """

    def __init__(
        self,
        region: str,
        credentials: dict[str, str],
        jobs: Jobs,
        *,
        pace: float = 1.0,
        on_change: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(region, DEFAULT_ACCOUNT_ID)
        self.pace = pace
        self.on_change = on_change
        self.clients = Clients(region, credentials)
        self.jobs = jobs
        self._changing = threading.RLock()  # guards the executions' statuses, and moto's lists
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._tell, name="stepfunctions", daemon=True)

    def start(self, url: str) -> None:
        """Begin to tell of changes; the executions find AWS at `url`."""
        self.clients.url = url
        self._thread.start()

    def stop(self) -> None:
        """Abort what runs, and tell of nothing more. May be called twice, or without a start."""
        self.on_change = None
        with self._changing:
            for machine in self.state_machines:
                for execution in machine.executions:
                    self._abort(execution, "", "local mode was stopped")
        self._events.put(None)
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def answer(self, environ: dict[str, Any]) -> Response:
        """Answer one request of Step Functions' JSON protocol, its X-Amz-Target `AWSStepFunctions.<operation>`."""
        api = _Api(self)
        api.setup_class(Request(environ))
        with self._changing:
            status, headers, body = api.call_action()
        return Response(body, status, headers)

    # What moto does otherwise.

    @staticmethod
    def _validate_definition(definition: str) -> None:
        try:
            _program(definition)
        except Exception as error:
            raise InvalidDefinitionError(f"Invalid State Machine Definition: '{error}'") from error

    def create_state_machine(self, name: str, definition: str, *arguments: Any, **named: Any) -> StateMachine:
        """Refuse what cannot be read."""
        self._validate_definition(definition)
        return super().create_state_machine(name, definition, *arguments, **named)

    def start_execution(  # type: ignore[override] # moto's own parser has executions of another class than its models
        self, state_machine_arn: str, name: str | None = None, execution_input: str | None = None
    ) -> Any:
        """Start an execution; the same name and input while it runs is the same execution."""
        machine: Any = self.describe_state_machine(state_machine_arn)
        name, given = name or str(uuid4()), execution_input or "{}"
        self._validate_name(name)
        machine._validate_execution_input(given)
        existing = machine._handle_name_input_idempotency(name, given)
        if existing:
            return existing
        execution = _Execution(self, machine, name, given)
        machine.executions.append(execution)
        execution.start()
        self._changed(execution)
        return execution

    def stop_execution(self, execution_arn: str, error: str | None = None, cause: str | None = None) -> Any:
        """Abort an execution; one that is over stays what it is."""
        execution = self.describe_execution(execution_arn)
        self._abort(execution, error, cause)
        return execution

    def describe_execution(self, execution_arn: str) -> Any:
        """Find it, or raise moto's ExecutionDoesNotExist."""
        for machine in self.state_machines:
            for execution in machine.executions:
                if execution.execution_arn == execution_arn:
                    return execution
        raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{execution_arn}'")

    def ended(self, execution: Any, state: Any) -> None:
        """Take note of how an execution's program has ended, unless it was stopped before."""
        with self._changing:
            if execution.exec_status != ExecutionStatus.RUNNING:
                return
            execution.stop_date = datetime.now(UTC)
            if isinstance(state, ProgramEnded):
                execution.exec_status = ExecutionStatus.SUCCEEDED
                execution.output = to_json_str(execution.exec_worker.env.states.get_input(), separators=(",", ":"))
            elif isinstance(state, ProgramTimedOut):
                execution.exec_status, execution.error = ExecutionStatus.TIMED_OUT, "States.Timeout"
            else:
                failure = (state.error or {}) if isinstance(state, ProgramError) else {"error": "States.Runtime"}
                execution.exec_status = ExecutionStatus.FAILED
                execution.error, execution.cause = failure.get("error"), failure.get("cause")
            self._changed(execution)

    def _abort(self, execution: Any, error: str | None, cause: str | None) -> None:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        execution.exec_status, execution.stop_date = ExecutionStatus.ABORTED, datetime.now(UTC)
        execution.error, execution.cause = error or None, cause or None
        execution.exec_worker.env.set_stop(stop_date=execution.stop_date, error=error, cause=cause)
        self._changed(execution)

    def _changed(self, execution: Any) -> None:
        self._events.put(_event(execution))

    def _tell(self) -> None:
        while (event := self._events.get()) is not None:
            on_change = self.on_change
            if on_change:
                try:
                    on_change(event)
                except Exception:  # noqa: BLE001 - a listener's failure is its own; the next event goes out all the same
                    traceback.print_exc()


class _Api(StepFunctionResponse):
    """moto's reading and writing of Step Functions' protocol, before a backend of ours."""

    def __init__(self, backend: LocalStepFunctions) -> None:
        super().__init__()
        self._backend = backend

    @property
    def stepfunction_backend(self) -> LocalStepFunctions:
        return self._backend

    def stop_execution(self) -> ActionResult:
        arn, error, cause = (self._get_param(name) for name in ("executionArn", "error", "cause"))
        return ActionResult({"stopDate": self._backend.stop_execution(arn, error, cause).stop_date})

    def describe_execution(self) -> ActionResult:
        return ActionResult(_described(self._backend.describe_execution(self._get_param("executionArn"))))


class _Execution(Execution):
    """An execution that can be stopped from its first moment on."""

    def __init__(self, backend: LocalStepFunctions, machine: Any, name: str, given: str) -> None:
        super().__init__(
            name=name,
            sm_type=machine.sm_type,
            role_arn=machine.roleArn,
            exec_arn=f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}",
            account_id=backend.account_id,
            region_name=backend.region_name,
            state_machine=machine,
            start_date=datetime.now(UTC),
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=given,
        )
        self.backend = backend
        self.definition = machine.definition  # an update of the machine is for later executions

    def _get_start_aws_execution_details(self) -> Surroundings:
        return Surroundings(
            self.account_id,
            self.region_name,
            self.role_arn,
            pace=self.backend.pace,
            jobs=self.backend.jobs,
            client=self.backend.clients,
        )

    def _get_start_execution_worker_comm(self) -> BaseExecutionWorkerCommunication:
        return _End(self)

    def start(self) -> None:
        """Start the thread; only then can anybody know of it, so its environment is there to be stopped."""
        worker = self.exec_worker = self._get_start_execution_worker()
        self.exec_status = ExecutionStatus.RUNNING
        program, worker.env = _program(self.definition), worker._get_evaluation_environment()
        assert worker.env is not None
        worker.env.next_state_name = program.start_at.start_at_name
        threading.Thread(target=_run, args=(worker, program, self.role_arn), name="execution", daemon=True).start()


class _End(BaseExecutionWorkerCommunication):
    """Hands the end of a program to the backend."""

    execution: Any

    def terminated(self) -> None:
        self.execution.backend.ended(self.execution, self.execution.exec_worker.env.program_state())


def _run(worker: Any, program: Any, role_arn: str) -> None:
    given = to_json_str(worker._evaluation_details.execution_details.inpt)
    details = {"input": given, "inputDetails": {"truncated": False}, "roleArn": role_arn}
    try:
        worker.env.event_manager.add_event(
            context=worker.env.event_history_context,
            event_type=HistoryEventType.ExecutionStarted,
            event_details={"executionStartedEventDetails": details},
            update_source_event_id=False,
        )
        program.eval(worker.env)
    finally:
        worker._execution_communication.terminated()


def _described(execution: Any) -> dict[str, Any]:
    described = {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "input": execution.execution_input,
        "inputDetails": {"included": True},
        "output": execution.output,
        "outputDetails": None if execution.output is None else {"included": True},
        "error": execution.error,
        "cause": execution.cause,
    }
    return {name: value for name, value in described.items() if value is not None}


def _event(execution: Any) -> dict[str, Any]:
    """Give the EventBridge event as Step Functions documents it: dates in ms, what is not there as null."""
    described = _described(execution)
    names = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate", "input", "inputDetails")
    detail: dict[str, Any] = {name: described.get(name) for name in (*names, "output", "outputDetails")}
    for name in ("startDate", "stopDate"):
        detail[name] = detail[name] and int(detail[name].timestamp() * 1000)
    redrivable = execution.status in ("FAILED", "ABORTED", "TIMED_OUT")
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": execution.account_id,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": execution.region_name,
        "resources": [execution.exec_arn],
        "detail": {
            **detail,
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
            "redriveStatusReason": None if redrivable else f"Execution is {execution.status} and cannot be redriven",
            "error": described.get("error"),
            "cause": described.get("cause"),
        },
    }
