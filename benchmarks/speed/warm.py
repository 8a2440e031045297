"""A warm function's time for a read and for a registration, each beside the raw round trips that it cannot do without.

The functions log and measure as they do when deployed. All of a group is called in turns, peers included.
"""

import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import urllib3

from benchmarks.part import Run
from benchmarks.report import Result
from benchmarks.serving import serving
from benchmarks.timing import Rounds, Timed, interleaved
from local.aws import client
from local.stack import LOGGING
from local.template import ROOT

NAMES: Final = (
    "warm_get",
    "warm_get_fastapi",
    "warm_get_powertools",
    "warm_create",
    "warm_create_missing",
    "cpu_get",
)
GET_GOAL: Final = 1.4
CREATE_GOAL: Final = 1.3

_JSON: Final = {"Content-Type": "application/json"}
_IN_SERVICE: Final = "run-by-the-author"
_CONTEXT: Final = SimpleNamespace(
    function_name="bench",
    aws_request_id="0b0f6c2e-3b5c-4a55-b1a5-6f0c8f9d3c11",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:local-1:000000000000:function:bench",
    get_remaining_time_in_millis=lambda: 29_000,
)

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
Call = Callable[[], object]


def measure(run: Run) -> Iterable[Result]:
    """Measure all; what the functions print goes where it costs as much as a log and disturbs nobody."""
    os.environ.update(LOGGING)
    with Path(os.devnull).open("w") as log, contextlib.redirect_stdout(log), serving("benchmarks.aws") as aws_url:
        os.environ["AWS_ENDPOINT_URL"] = aws_url
        raw = _Raw(run.opensearch_url, aws_url)
        _run_endpoint(aws_url)
        _register_sample()
        return [*_reads(run, raw), *_registrations(run, raw), *_registrations_of_missing(run, raw), _cpu(run)]


def _reads(run: Run, raw: "_Raw") -> Iterator[Result]:
    from benchmarks.peers import fastapi_app, powertools_app  # noqa: PLC0415 - after the environment is set
    from handlers import get_bot  # noqa: PLC0415

    event = _event("get_bot")
    handlers: dict[str, Handler] = {
        "warm_get": get_bot.handler,
        "warm_get_fastapi": fastapi_app.handler,
        "warm_get_powertools": powertools_app.handler,
    }
    expected = json.loads(get_bot.handler(event, _CONTEXT)["body"])
    for handler in handlers.values():
        assert json.loads(handler(event, _CONTEXT)["body"]) == expected
    calls = {name: _answering(200, handler, lambda: event) for name, handler in handlers.items()}
    timed = _timed(run, "reads", {"raw": raw.read, **calls}, Rounds(9, 250))
    yield timed.result("warm_get", "warm_get", "raw", goal=GET_GOAL, note="GET /bots/{name}; raw: the same two reads")
    yield timed.result("warm_get_fastapi", "warm_get_fastapi", "raw", note="a peer: FastAPI, Mangum, the stock signer")
    yield timed.result(
        "warm_get_powertools", "warm_get_powertools", "raw", note="a peer: enable_validation, the stock signer"
    )


def _registrations(run: Run, raw: "_Raw") -> Iterator[Result]:
    """Register bots whose endpoint is in service already, as its record knows."""
    from handlers import create_bot  # noqa: PLC0415 - after the environment is set

    bots = _bots(run, "author", lambda _: {"endpoint_name": _IN_SERVICE, "endpoint_ecr_image_path": ""})
    rawly = _bots(run, "raw", lambda _: {"endpoint_name": _IN_SERVICE, "endpoint_ecr_image_path": ""})
    calls = {
        "handler": _answering(201, create_bot.handler, lambda: next(bots).event),
        "raw": lambda: raw.register(next(rawly).source),
        "write": lambda: raw.write(next(rawly).source),
    }
    timed = _timed(run, "registrations", calls, Rounds(15, 100))
    alone = statistics.median(timed.seconds["write"]) * 1e3
    note = f"raw: the write with refresh, and a read of the endpoint's record; the write alone {alone:.2f} ms"
    yield timed.result("warm_create", "handler", "raw", goal=CREATE_GOAL, note=note)


def _registrations_of_missing(run: Run, raw: "_Raw") -> Iterator[Result]:
    """Register bots whose endpoint is missing: it is looked for, noted, and its making is triggered."""
    from handlers import create_bot  # noqa: PLC0415 - after the environment is set

    bots = _bots(run, "missing", lambda number: {"endpoint_name": f"missing-{number}"})
    rawly = _bots(run, "raw-missing", lambda number: {"endpoint_name": f"raw-missing-{number}"})
    calls = {
        "handler": _answering(201, create_bot.handler, lambda: next(bots).event),
        "raw": lambda: raw.register_missing(next(rawly).source),
        "aws": lambda: raw.aws_calls(_IN_SERVICE + "-not"),
    }
    timed = _timed(run, "registrations with a missing endpoint", calls, Rounds(5, 40))
    alone = statistics.median(timed.seconds["aws"]) * 1e3
    note = f"raw: the same requests to OpenSearch and AWS, unsigned; AWS's two alone {alone:.2f} ms"
    yield timed.result("warm_create_missing", "handler", "raw", note=note)


def _cpu(run: Run) -> Result:
    """Measure the handler's own CPU: all that it does for a read but the socket, OpenSearch's answers being kept."""
    from handlers import get_bot  # noqa: PLC0415 - after the environment is set

    event = _event("get_bot")
    with _answers_kept() as trips:
        call = _answering(200, get_bot.handler, lambda: event)
        calls, rounds = (200, 3) if run.short else (2_000, 9)
        whole = [_cpu_seconds(call, calls) for _ in run.track("CPU", range(rounds), rounds)]
        client_alone = [_cpu_seconds(trips, calls) for _ in range(rounds)]
    microseconds = [seconds * 1e6 for seconds in whole]
    own = statistics.median(microseconds) - statistics.median(client_alone) * 1e6
    return Result(
        "cpu_get",
        statistics.median(microseconds),
        "us",
        low=min(microseconds),
        high=max(microseconds),
        note=f"all but the socket; {own:.0f} us without opensearch-py and signing (32-81 measured for bare Powertools)",
    )


class _Bot:
    """A bot to register: the event that asks for it, and what is stored of it."""

    def __init__(self, event: dict[str, Any], name: str, changes: Mapping[str, Any]) -> None:
        fields = {**json.loads(event["body"]), "name": name, **changes}
        self.event = {**event, "body": json.dumps(fields)}
        search = {"endpoint_names": [fields["endpoint_name"]], "file_types": fields["file_types"].split(",")}
        self.source = {**fields, "bot_vcpu": "", "bot_mem": "", "search": search, "write_id": "0" * 32}


def _bots(run: Run, prefix: str, changes: Callable[[int], Mapping[str, Any]]) -> Iterator[_Bot]:
    """Make more bots than are registered, all of them now: the time that it takes is in no measurement."""
    event = _event("create_bot")
    return iter([_Bot(event, f"{prefix}-{number}", changes(number)) for number in range(100 if run.short else 3_500)])


class _Raw:
    """The same round trips by urllib3 alone, unsigned."""

    def __init__(self, opensearch_url: str, aws_url: str) -> None:
        self._pool = urllib3.PoolManager()
        prefix = f"{opensearch_url}/{os.environ['INDEX_PREFIX']}"
        self._bots, self._endpoints, self._aws = f"{prefix}-bots", f"{prefix}-endpoints", aws_url
        fields = json.loads((ROOT / "byob" / "bot_config.json").read_text())
        self._sample, self._sample_endpoint = fields["name"], fields["endpoint_name"]

    def read(self) -> None:
        """Read the sample bot and the record of its endpoint."""
        self._sent(200, "GET", f"{self._bots}/_doc/{self._sample}")
        self._records(self._sample_endpoint)

    def write(self, source: Mapping[str, Any]) -> None:
        """Write a new bot that a search sees at once."""
        self._create(f"{self._bots}/_doc/{source['name']}", source)

    def register(self, source: Mapping[str, Any]) -> None:
        """Write a new bot, and read the record of its endpoint."""
        self.write(source)
        self._records(source["endpoint_name"])

    def register_missing(self, source: Mapping[str, Any]) -> None:
        """Write a new bot and the record of its endpoint, which SageMaker does not know, and trigger its making."""
        self.register(source)
        self.aws_calls(source["endpoint_name"])
        record = {"name": source["endpoint_name"], "status": "Missing", "settled": False, "write_id": "0" * 32}
        self._create(f"{self._endpoints}/_doc/{source['endpoint_name']}", record)

    def aws_calls(self, endpoint: str) -> None:
        """Ask SageMaker for an endpoint that is missing, and Lambda to take an event."""
        scope = f"AKID/20261124/{os.environ['AWS_REGION']}/sagemaker/aws4_request"  # moto takes the region from it
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "SageMaker.DescribeEndpoint",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
        }
        self._sent(400, "POST", self._aws, {"EndpointName": endpoint}, headers)
        invoke = f"{self._aws}/2015-03-31/functions/ProvisionEndpoint/invocations"
        event = {"bot": "a-bot", "endpoints": [endpoint], "correlation_id": _CONTEXT.aws_request_id}
        self._sent(202, "POST", invoke, event, {"X-Amz-Invocation-Type": "Event"})

    def _records(self, endpoint: str) -> None:
        self._sent(200, "POST", f"{self._endpoints}/_mget", {"ids": [endpoint]})

    def _create(self, url: str, source: Mapping[str, Any]) -> None:
        self._sent(201, "PUT", f"{url}?op_type=create&require_alias=true&refresh=true", source)

    def _sent(
        self, status: int, method: str, url: str, body: object = None, headers: Mapping[str, str] = _JSON
    ) -> None:
        payload = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, url, body=payload, headers=dict(headers))
        assert answer.status == status, answer.data
        if answer.data:
            answer.json()


def _timed(run: Run, what: str, calls: Mapping[str, Call], rounds: Rounds) -> Timed:
    if run.short:
        return interleaved(calls, Rounds(2, 10), warm_up=5)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    warm_up = 100
    for _ in run.track(what, range(rounds.count), rounds.count):
        one = interleaved(calls, Rounds(1, rounds.calls), warm_up=warm_up)
        warm_up = 0
        for name, medians in one.seconds.items():
            seconds[name] += medians
    return Timed(seconds)


def _answering(status: int, handler: Handler, event: Callable[[], dict[str, Any]]) -> Call:
    def call() -> None:
        answer = handler(event(), _CONTEXT)
        assert answer["statusCode"] == status, answer

    return call


def _cpu_seconds(call: Call, calls: int) -> float:
    begun = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - begun) / calls


@contextlib.contextmanager
def _answers_kept() -> Iterator[Call]:
    """Answer without a socket what was asked of OpenSearch once; give opensearch-py's bare trips of a read."""
    from shared.opensearch import client as opensearch  # noqa: PLC0415 - after the environment is set

    (connection,) = opensearch().transport.connection_pool.connections
    ask, kept = connection.pool.urlopen, {}

    def answer(method: str, url: str, *arguments: Any, **options: Any) -> Any:
        if (method, url) not in kept:
            kept[method, url] = ask(method, url, *arguments, **options)
        return kept[method, url]

    def trips() -> None:
        prefix, fields = os.environ["INDEX_PREFIX"], json.loads((ROOT / "byob" / "bot_config.json").read_text())
        opensearch().get(index=f"{prefix}-bots", id=fields["name"])
        opensearch().mget(index=f"{prefix}-endpoints", body={"ids": [fields["endpoint_name"]]})

    connection.pool.urlopen = answer
    try:
        yield trips
    finally:
        connection.pool.urlopen = ask


def _event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def _register_sample() -> None:
    """Store the sample bot, as all reads find it, and the record of its endpoint."""
    from handlers import create_bot  # noqa: PLC0415 - after the environment is set

    assert create_bot.handler(_event("create_bot"), _CONTEXT)["statusCode"] in (200, 201)


def _run_endpoint(aws_url: str) -> None:
    """Have an endpoint in service that its author made."""
    sagemaker = client("sagemaker", aws_url)
    role = os.environ["SAGEMAKER_ROLE_ARN"]
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "image"}, ExecutionRoleArn=role)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=_IN_SERVICE, EndpointConfigName="c")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=_IN_SERVICE, WaiterConfig={"Delay": 1})
