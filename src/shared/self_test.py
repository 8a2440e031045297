"""The self-test: the way of each function is walked once, so that a deployment shows what does not work, and why.

It changes nothing but a marker in an index of its own, and writes a report that may be shown to anybody.
"""

import json
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from shared import VERSION, clock, opensearch, settings
from shared.endpoints.sagemaker import SageMaker
from shared.errors import ByobError, StepFailedError
from shared.functions import Functions
from shared.jobs.batch import Batch
from shared.jobs.objects import Objects
from shared.log import logger
from shared.opensearch import Index
from shared.probes import PROBES, Probe

#: What a step may take: a function behind the API has 29 s, and its environment is to be started.
_MILLISECONDS_FOR_A_STEP: Final = 45_000
_ACCOUNT: Final = re.compile(r"\b\d{12}\b")
_MAX_DETAIL: Final = 500

#: What is done in a step; the text says what is worth knowing of a success, "" for nothing.
Work = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a step: `ok` is None where it was not tried; `code` and `detail` say why it failed or was not."""

    name: str
    ok: bool | None
    seconds: float = 0.0
    code: str = ""
    detail: str = ""


def self_test(
    bucket: str | None,
    id: str,
    *,
    functions: Functions,
    sagemaker: SageMaker,
    batch: Batch,
    objects: Objects,
    milliseconds_left: Callable[[], int],
) -> dict[str, Any]:
    """Carry out all steps while time is left; give the report, `{"ok", "id", "at", "versions", "steps"}`.

    `bucket`: one that holds media, None not to look at any. `id` is the correlation id of every function's log.
    """
    seen: dict[str, str] = {}
    work: list[tuple[str, Work | None]] = [
        # First: until it has run, the domain knows none of the roles.
        ("MapRoles", partial(_map_roles, functions, id)),
        ("OpenSearch: answer", partial(_reach, seen)),
        *_Marker(id).steps(),
        ("SageMaker: list endpoints", partial(_quietly, sagemaker.require_lists)),
        ("Batch: the job queue", partial(_quietly, batch.require_queue)),
        (
            "S3: the bucket",
            partial(_quietly, partial(objects.require_bucket, bucket, readable=True)) if bucket else None,
        ),
        ("ProvisionEndpoint: nothing to do", partial(_provision_nothing, functions, id)),
        *((f"{probe.function}: {probe.name}", partial(_probe, functions, probe, id)) for probe in PROBES),
    ]
    steps = [_carried_out(name, each, milliseconds_left) for name, each in work]
    return {
        "ok": not any(step.ok is False for step in steps),
        "id": id,
        "at": clock.flat_now(),
        "versions": {
            "product": VERSION,
            "python": platform.python_version(),
            "opensearch": seen.get("version", ""),
            "region": settings.opensearch().region,
            "configuration": settings.configuration_version(),
        },
        "steps": [asdict(step) for step in steps],
    }


def _carried_out(name: str, work: Work | None, milliseconds_left: Callable[[], int]) -> Step:
    if work is None:
        return Step(name, None, detail='the event names none; invoke with {"bucket": "…"}')
    if milliseconds_left() < _MILLISECONDS_FOR_A_STEP:
        return Step(name, ok=False, code="OutOfTime", detail="not tried: the steps before it took all the time")
    begun = time.perf_counter()
    code = detail = ""
    try:
        detail = work()
    except ByobError as error:
        code, detail = _code(error), str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this step alone
        logger.exception("step of the self-test failed unexpectedly", step=name)
        code, detail = type(error).__name__, "failed unexpectedly; the log of SelfTest has the reason"
    seconds = round(time.perf_counter() - begun, 3)
    return Step(name, not code, seconds, code, _ACCOUNT.sub("<account>", detail)[:_MAX_DETAIL])


def _code(error: ByobError) -> str:
    """Give AWS's own code, or our word for the kind of error, or, where it has none, its class."""
    own = error.kind if error.kind != ByobError.kind else type(error).__name__
    return str(getattr(error, "code", own))


def _quietly(look: Callable[[], object]) -> str:
    look()
    return ""


def _reach(seen: dict[str, str]) -> str:
    seen["version"] = opensearch.version()
    return ""


class _Marker:
    """A document that is written, read, found and deleted again."""

    def __init__(self, id: str) -> None:
        self._id = id
        # refresh: the search follows at once.
        self._index = Index("self-test", {"marker": {"type": "keyword"}}, refresh=True)

    def steps(self) -> Iterator[tuple[str, Work]]:
        """Give the steps in their order."""
        yield "OpenSearch: write a marker", partial(_quietly, self._write)
        yield "OpenSearch: read the marker", partial(_quietly, self._read)
        yield "OpenSearch: search the marker", partial(_quietly, self._search)
        yield "OpenSearch: delete the marker", partial(_quietly, self._delete)

    def _write(self) -> None:
        self._index.create(self._id, {"marker": self._id})

    def _read(self) -> opensearch.Document:
        found = self._index.get(self._id)
        if found is None:
            raise StepFailedError("MarkerMissing", "the marker that was written cannot be read")
        return found

    def _search(self) -> None:
        found = self._index.search({"query": {"term": {"marker": self._id}}})
        if [document.id for document in found] != [self._id]:
            raise StepFailedError("MarkerMissing", "the marker that was written is not found")

    def _delete(self) -> None:
        self._index.delete(self._id, self._read().version)


def _map_roles(functions: Functions, id: str) -> str:
    mapped = functions.answer_of("MapRoles", {"id": id})["mapped"]
    return f"{len(mapped)} roles of the domain" if mapped else "the domain has no fine-grained access control"


def _provision_nothing(functions: Functions, id: str) -> str:
    event = {"bot": "self-test", "endpoints": [], "correlation_id": id}
    answer = functions.answer_of("ProvisionEndpoint", event)
    if answer != {"endpoints": []}:
        raise StepFailedError(
            "UnexpectedAnswer", f"no endpoint was to be looked at; the answer is {json.dumps(answer)}"
        )
    return ""


def _probe(functions: Functions, probe: Probe, id: str) -> str:
    # A job's id and a bot's name in one: nothing is called so.
    answer: Mapping[str, Any] = functions.answer_of(probe.function, probe.event(id.replace("-", ""), id))
    status = answer.get("statusCode")
    if status != probe.status:
        problem = json.loads(answer.get("body") or "{}")
        raise StepFailedError(f"Status{status}", f"answered {status}, not {probe.status}: {problem.get('detail', '')}")
    return ""
