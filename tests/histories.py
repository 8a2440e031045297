"""Histories of one endpoint: runs side by side, events, crashes, changes of mind in any order, some of them lost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from shared.bots.deploy import asking_to_roll
from shared.endpoints.record import MOVING, EndpointRecord, Status, Wanted
from shared.endpoints.records import EndpointRecords
from shared.endpoints.settle import ControlLoop
from tests.simulation import Clock, Run, SimulatedEndpoint, SimulatedIndex, SimulatedSageMaker

NAMES = ["invoice-layout", "INVOICE-Layout"]
WISHES = [Wanted("layout:1", "", "ml.m5.large"), Wanted("layout:2", "", "ml.m5.large")]
SEEN = [status for status in Status if status not in (Status.MISSING, Status.UNKNOWN)]
REFUSALS = ["ResourceLimitExceeded", "AccessDeniedException", "ThrottlingException"]
#: So many turns of the schedule, each after SageMaker had time to end what it was at, and all is as wanted.
ROUNDS = 10
#: Longer than Lambda lets a run live, shorter than its lease.
MINUTES_OF_A_RUN = 2


class World:
    """One endpoint name in two spellings, from any state on."""

    def __init__(self, whose: str, status: Status) -> None:
        self.clock = Clock()
        self.sagemaker = SimulatedSageMaker()
        self.records = EndpointRecords.__new__(EndpointRecords)
        self.index = SimulatedIndex(self.sagemaker.rest)
        self.records._index = self.index  # type: ignore[assignment]
        self.loop = ControlLoop(
            self.records,
            self.sagemaker,  # type: ignore[arg-type]
            now=self.clock,
            pause=lambda _seconds: None,
        )
        self.theirs: SimulatedEndpoint | None = None
        self.runs: list[Run] = []
        self.asked_for = False  # somebody's last word was that the endpoint be there
        if whose == "nobody":
            return
        config = "theirs" if whose == "theirs" else WISHES[0].artefact_name(NAMES[0])
        endpoint = SimulatedEndpoint(NAMES[0], status, config, managed=whose == "ours")
        self.sagemaker.endpoints[NAMES[0]] = endpoint
        if whose == "theirs":
            self.theirs = endpoint
            return
        self.sagemaker.models.add(config)
        self.sagemaker.configs.add(config)
        self.records.upsert(NAMES[0], lambda record: record.wishing(WISHES[0]).noting(config))

    def a_bot_is_registered(self, name: str, wish: Wanted | None) -> None:
        self.asked_for = self.asked_for or wish is not None
        self.records.upsert(name, lambda record: record.wishing(wish))

    def a_bot_is_deployed(self, name: str, wish: Wanted) -> None:
        self.asked_for = True
        self.records.upsert(name, lambda record: asking_to_roll(record, wish))

    def the_last_bot_is_deleted_with_its_endpoint(self) -> None:
        if self.records.find(NAMES[0]):
            self.asked_for = False
            self.records.upsert(NAMES[0], lambda record: replace(record.afresh(), present=False))

    def the_last_bot_is_deleted_and_its_endpoint_kept(self) -> None:
        if self.records.find(NAMES[0]):
            self.asked_for = False
            self.records.upsert(NAMES[0], lambda record: replace(record.afresh(), needed=False))

    def an_event_or_a_trigger_arrives(self, times: int, name: str) -> None:
        for _ in range(times):
            self.loop.settle(name)

    def the_schedule_runs(self) -> None:
        self.loop.reconcile(lambda: 120.0)

    def a_run_begins(self, name: str) -> None:
        self.runs.append(Run(self.sagemaker, lambda: self.loop.settle(name)))

    def a_run_goes_on(self, which: int, calls: int) -> None:
        for _ in range(calls if self.runs else 0):
            self.runs[which % len(self.runs)].go_on()
        self.runs = [run for run in self.runs if not run.over]

    def a_run_crashes(self) -> None:
        if self.runs:
            self.runs.pop(0).crash()

    def sagemaker_ends_what_it_was_at(self, outcome: str) -> None:
        self.sagemaker.tick(outcome)

    def sagemaker_refuses(self, code: str, count: int) -> None:
        self.sagemaker.refusals = [(code, "refused")] * count

    def the_registry_fails(self, *, after: int) -> None:
        self.index.fail(after=after)

    def an_answer_is_lost_and_another_run_comes_by(self) -> None:
        self.index.lose_an_answer(meanwhile=lambda: self.an_event_or_a_trigger_arrives(1, NAMES[0]))

    def time_passes(self, minutes: int) -> None:
        if minutes >= MINUTES_OF_A_RUN:
            self._end_runs()
        self.clock.advance(timedelta(minutes=minutes))

    def sagemaker_patches_the_endpoint(self) -> None:
        endpoint = self.sagemaker.endpoints.get(NAMES[0])
        if endpoint and endpoint.managed and endpoint.status is Status.IN_SERVICE:
            endpoint.status = Status.SYSTEM_UPDATING

    def there_is_no_second_endpoint_and_theirs_is_untouched(self) -> None:
        assert len(self.sagemaker.endpoints) <= 1
        if self.theirs:
            assert self.theirs.config_name == "theirs"
            assert self.theirs in self.sagemaker.endpoints.values() or self.theirs.status is Status.DELETING

    def nothing_was_made_that_no_record_knows(self) -> None:
        record = self.records.find(NAMES[0])
        assert self.sagemaker.models | self.sagemaker.configs <= set(record.artefacts if record else ())

    def ends_as_wanted(self) -> None:
        self._end_runs()
        self.sagemaker.refusals = []
        for _ in range(ROUNDS):
            self.sagemaker.tick("well")
            self.clock.advance(timedelta(minutes=80))
            self.loop.reconcile(lambda: 120.0)
        self._everything_is_as_wanted(self.records.find(NAMES[0]))

    def _end_runs(self) -> None:
        while self.runs:
            self.runs.pop().crash()

    def _everything_is_as_wanted(self, record: EndpointRecord | None) -> None:
        endpoint = self.sagemaker.endpoints.get(NAMES[0])
        assert (record and endpoint) or not self.asked_for
        made = self.sagemaker.models | self.sagemaker.configs
        if self.theirs and endpoint is self.theirs:
            assert made == set()
        elif record is None or not record.present:
            assert (record, endpoint, made) == (None, None, set())
        elif endpoint is None:
            assert (record.wanted, made) == (None, set())
        else:
            self._ours_is_as_wanted(record, endpoint, made)

    def _ours_is_as_wanted(self, record: EndpointRecord, endpoint: SimulatedEndpoint, made: set[str]) -> None:
        assert endpoint.status not in MOVING
        assert endpoint.status is record.status
        assert (record.leased_until, record.roll_to, record.rolled_from) == ("", "", "")
        if endpoint.status is Status.UPDATE_ROLLBACK_FAILED:
            assert endpoint.config_name in made  # a mix runs: nothing of it may go until it is rolled or removed
        else:
            assert made == {endpoint.config_name} == set(record.artefacts)
        if endpoint.status is Status.FAILED:
            assert not record.is_makable  # else it is removed and made anew


NAME, WISH = st.sampled_from(NAMES), st.sampled_from(WISHES)
# As often as they stand here: a history needs many looks for each change of mind to lead anywhere.
ACTIONS = st.one_of(
    st.tuples(st.just(World.a_bot_is_registered), NAME, st.sampled_from([*WISHES, *WISHES, None])),
    st.tuples(st.just(World.a_bot_is_deployed), NAME, WISH),
    st.tuples(st.just(World.a_bot_is_deployed), NAME, WISH),
    st.tuples(st.just(World.the_last_bot_is_deleted_with_its_endpoint)),
    st.tuples(st.just(World.the_last_bot_is_deleted_and_its_endpoint_kept)),
    st.tuples(st.just(World.an_event_or_a_trigger_arrives), st.integers(1, 5), NAME),
    st.tuples(st.just(World.an_event_or_a_trigger_arrives), st.integers(1, 5), NAME),
    st.tuples(st.just(World.the_schedule_runs)),
    st.tuples(st.just(World.a_run_begins), NAME),
    st.tuples(st.just(World.a_run_begins), NAME),
    st.tuples(st.just(World.a_run_goes_on), st.integers(0, 2), st.integers(1, 14)),
    st.tuples(st.just(World.a_run_goes_on), st.integers(0, 2), st.integers(1, 14)),
    st.tuples(st.just(World.a_run_goes_on), st.integers(0, 2), st.integers(1, 14)),
    st.tuples(st.just(World.a_run_crashes)),
    *[st.tuples(st.just(World.sagemaker_ends_what_it_was_at), st.sampled_from(["well", "fails", "back", "mixed"]))] * 4,
    st.tuples(st.just(World.sagemaker_refuses), st.sampled_from(REFUSALS), st.integers(1, 2)),
    st.tuples(st.just(World.sagemaker_patches_the_endpoint)),
    st.tuples(st.just(World.time_passes), st.integers(0, 1)),
    st.tuples(st.just(World.time_passes), st.integers(3, 90)),
)


@dataclass(frozen=True)
class History:
    """Where an endpoint begins, and what then happens to it: methods of World with their arguments."""

    whose: str
    status: Status
    actions: Sequence[tuple[Any, ...]]

    def end_as_wanted(self) -> None:
        """Live through it; raise AssertionError where it does not end as wanted, or breaks a promise on the way."""
        world = World(self.whose, self.status)
        for action, *arguments in self.actions:
            action(world, *arguments)
            world.there_is_no_second_endpoint_and_theirs_is_untouched()
            world.nothing_was_made_that_no_record_knows()
        world.ends_as_wanted()


HISTORIES: Final = st.builds(
    History,
    whose=st.sampled_from(["nobody", "theirs", "ours", "ours"]),
    status=st.sampled_from(SEEN),
    actions=st.lists(ACTIONS, min_size=20, max_size=60),
)
