"""Whatever is sent is answered as the document says, never by a 5xx, and a refused request stores nothing."""

import json
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import pytest
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.engine import events, from_schema
from schemathesis.engine.core import EventStream

from local import openapi
from local.demo import KIT
from local.opensearch import OpenSearchNode
from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, Reply, recorded
from tests.torture.conftest import Torture

PREFIX: Final = "bad-input"
CASES: Final = 10_000
#: A refusal is right by any of these, of a precondition as well; the check's own list knows no 412 and no 413.
REFUSALS: Final = ["400", "403", "404", "405", "409", "412", "413", "422"]


@dataclass
class Stored:
    """What a request may have stored: the bots' last write, and how many jobs there are, as the node itself tells."""

    node_url: str
    pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    before: tuple[int, int] = (-1, 0)

    def now(self) -> tuple[int, int]:
        # A write that is refused for its version takes no sequence number.
        shards = self._ask(f"{PREFIX}-bots/_stats?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no")
        numbers = [
            shard["seq_no"]["max_seq_no"]
            for index in shards.get("indices", {}).values()
            for copies in index["shards"].values()
            for shard in copies
            if "seq_no" in shard
        ]
        return max(numbers, default=-1), int(self._ask(f"{PREFIX}-jobs/_count").get("count", 0))

    def assert_unchanged_by(self, request: str, *, may_store: bool) -> None:
        now = self.now()
        before, self.before = self.before, now
        assert may_store or now == before, f"{request} stored something: {before} became {now}"

    def _ask(self, path: str) -> Any:
        return self.pool.request("GET", f"{self.node_url}/{path}").json()


@pytest.fixture(scope="module")
def api(signed_opensearch: SigningProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    # Jobs over endpoints that are never made give up at once: thousands of them would be all that the machine does.
    own = {"INDEX_PREFIX": PREFIX, "ENDPOINT_WAIT_SECONDS": "1"}
    with ExitStack() as exits:
        with recorded(tmp_path_factory.mktemp("log") / "functions.log"):  # jobs that cannot run say so, each of them
            running = exits.enter_context(stack(signed_opensearch.url, listen(0), workers=2, extra=own, pace=0.05))
        yield ApiClient(running.url, running.aws_url)


@pytest.fixture(scope="module")
def stored(node: OpenSearchNode) -> Stored:
    return Stored(node.url)


@dataclass
class Explored:
    """What a run of schemathesis did, and what it found."""

    cases: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(self.cases.values())

    def note(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            recorder, phase = event.recorder, event.phase.value
            self.cases[phase] = self.cases.get(phase, 0) + len(recorder.interactions)
            for id, checks in recorder.checks.items():
                for failed in checks:
                    if failed.failure_info is None:
                        continue
                    sent, answer = recorder.interactions[id].request, recorder.interactions[id].response
                    said = f"{answer.status_code} {answer.content[:200]!r}" if answer else "nothing"
                    told = f"{sent.method} {sent.uri} {(sent.body or b'')[:300]!r} was answered {said}"
                    self.failures.append(f"{failed.name}: {told}: {failed.failure_info.failure.message[:200]}")
        elif isinstance(event, events.NonFatalError | events.FatalError):
            self.failures.append(f"{event}")


def explore(url: str, seed: int, examples: int, phases: list[str]) -> EventStream:
    """Run phases of schemathesis over the document."""
    some = {"max-examples": examples, "database": "none", "allow-x00": True}
    known = ("examples", "coverage", "fuzzing", "stateful")
    # Only what is right leads on to a next call; what is wrong is the other phases' part.
    stateful = {"max-steps": 10, "generation": {**some, "mode": "positive"}}
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "continue-on-failure": True,
            "generation": some,
            "phases": {name: {"enabled": name in phases, **(stateful if name == "stateful" else {})} for name in known},
            "checks": {
                # Some rules cannot be said in JSON Schema: one item for each endpoint, a command that shlex can split.
                "positive_data_acceptance": {"enabled": False},
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            },
        }
    )
    return from_schema(schemathesis.openapi.from_dict(openapi.document(), config=config)).execute()


def test_every_generated_request_is_answered_as_the_document_says(
    torture: Torture, api: ApiClient, stored: Stored
) -> None:
    count, number = torture.size(CASES, short=800), random.SystemRandom().randrange(10**6)
    examples = torture.size(150, short=5)
    explored = Explored()
    stored.before = stored.now()

    @schemathesis.check
    def nothing_is_stored_by_a_read_or_a_refused_request(
        ctx: schemathesis.CheckContext, response: schemathesis.Response, case: "schemathesis.Case[Any]"
    ) -> None:
        writes = case.method.upper() not in ("GET", "HEAD") and response.status_code < 300
        rehearsed = str((case.query or {}).get("validate_only")).lower() == "true"
        stored.assert_unchanged_by(
            f"{case.method} {case.formatted_path} ({response.status_code})", may_store=writes and not rehearsed
        )

    phases = ["examples", "coverage", "fuzzing", "stateful"]
    runs = 0
    while explored.count < count or runs == 0:
        stream = explore(api.url, number + runs, examples, phases)
        for event in stream:
            explored.note(event)
            torture.progress("requests of schemathesis", min(explored.count, count - 1), count)
            if runs and explored.count >= count:
                stream.stop()
        phases = ["fuzzing", "stateful"]  # the others send the same again
        runs += 1
        if explored.failures:
            break

    torture.report(
        "bad_input",
        explored.count,
        "generated requests",
        goal=f"{count:,} or more, no 5xx, all as documented",
        holds=explored.count >= count and not explored.failures,
        note=", ".join(f"{cases:,} {phase.lower()}" for phase, cases in explored.cases.items())
        + f", seed {number}"
        + "".join(f"\n{failure}" for failure in explored.failures[:5]),
    )


FIELDS: Final = list(json.loads((KIT / "bot_config.json").read_text()))
LIMITS: Final = [0, 1, 2, 61, 62, 63, 64, 65, 254, 255, 256, 1023, 1024, 1025, 8191, 8192, 8193]
_item = st.sampled_from(["a", ".a", "ml.m5.large", "s3://bucket/key", "-", "_", "é", "機", "🤖", "\u202e", " ", "%2e"])
_text = st.one_of(
    st.text(max_size=40),  # lone surrogates too, which JSON can spell
    st.text(st.characters(min_codepoint=0, max_codepoint=32), max_size=5),
    st.builds(lambda item, length: (item * length)[:length], _item, st.sampled_from(LIMITS)),
    st.builds(lambda items, comma: comma.join(items), st.lists(_item, max_size=12), st.sampled_from([",", ", ", ",,"])),
)
_number = st.one_of(
    st.integers(),
    st.sampled_from([0, -1, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400)]),
    st.floats(allow_nan=True, allow_infinity=True),
)
_scalar = st.one_of(st.none(), st.booleans(), _number, _text)
_inner = st.one_of(_scalar, st.lists(_scalar, max_size=4), st.dictionaries(st.text(max_size=9), _scalar, max_size=4))
_nested = st.one_of(st.lists(_inner, max_size=4), st.dictionaries(st.text(max_size=9), _inner, max_size=4))
_deep = st.builds(
    lambda depth, shape: json.loads(shape[0] * depth + "1" + shape[1] * depth),
    st.integers(1, 400),
    st.sampled_from([("[", "]"), ('{"a":', "}")]),
)
_value = st.one_of(_text, _text, _number, _nested, _deep)
_changes = st.dictionaries(
    st.one_of(st.sampled_from(FIELDS), st.sampled_from(FIELDS), st.sampled_from(["bot_name", "endpoints", "bot_nmae"])),
    _value,
    min_size=1,
    max_size=3,
)


@dataclass(frozen=True)
class Answers:
    """Which answers the document promises."""

    document: Mapping[str, Any] = field(default_factory=openapi.document)

    def assert_has(self, method: str, path: str, reply: Reply) -> None:
        """Hold an answer against what is said of its operation: status, content type, schema."""
        responses = self.document["paths"][path][method.lower()]["responses"]
        assert str(reply.status) in responses, f"{reply.status} is not documented"
        content = responses[str(reply.status)].get("content", {})
        assert reply.headers.get("content-type") in content, (reply.status, dict(reply.headers))
        _validator(method, path, reply.status).validate(reply.json)


@cache
def _validator(method: str, path: str, status: int) -> Draft202012Validator:
    document = openapi.document()
    (content,) = document["paths"][path][method.lower()]["responses"][str(status)]["content"].values()
    return Draft202012Validator({**document, **content["schema"]})


def test_every_mutated_configuration_is_kept_as_sent_or_refused_whole(
    torture: Torture, api: ApiClient, stored: Stored
) -> None:
    count, number = torture.size(2000, short=100), random.SystemRandom().randrange(10**6)
    sample = json.loads((KIT / "bot_config.json").read_text())
    answers, outcomes = Answers(), {"kept": 0, "refused": 0}
    tried = 0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        _changes, st.sets(st.sampled_from(FIELDS), max_size=2), st.sampled_from(["POST", "PUT", "PATCH"]), st.booleans()
    )
    def send(changes: dict[str, Any], missing: set[str], method: str, ascii: bool) -> None:
        nonlocal tried
        tried += 1
        name = f"mutant-{tried}"
        body = {**{key: value for key, value in sample.items() if key not in missing}, "name": name, **changes}
        path, resource = ("/bots", "/bots") if method == "POST" else (f"/bots/{name}", "/bots/{name}")
        if method == "PATCH":
            assert api("PUT", path, {**sample, "name": name, "endpoint_ecr_image_path": ""}).status == 201
            body = changes
        before = api("GET", f"/bots/{name}") if method == "PATCH" else None
        stored.before = stored.now()

        reply = api(method, path, json.dumps(body, ensure_ascii=ascii).encode("utf-8", "surrogatepass"))

        told = f"{method} {path} {body!r:.500}"
        assert reply.status < 500, f"{told}: {reply.status} {reply.body!r}"
        answers.assert_has(method, resource, reply)
        stored.assert_unchanged_by(told, may_store=reply.status < 300)
        after = api("GET", f"/bots/{quote(reply.json['name'] if reply.status < 300 else name, safe='')}")
        if reply.status < 300:
            assert {**after.json, "endpoints": []} == {**reply.json, "endpoints": []}, told
        else:
            assert after.body == before.body if before else after.status == 404, told
        outcomes["kept" if reply.status < 300 else "refused"] += 1
        torture.progress("mutated configurations", tried, count)

    send()

    torture.report(
        "bad_input_configurations",
        tried,
        "mutated configurations",
        goal="kept as sent or refused whole",
        holds=sum(outcomes.values()) == tried,
        note=f"{outcomes['kept']:,} kept, {outcomes['refused']:,} refused, seed {number}",
    )
