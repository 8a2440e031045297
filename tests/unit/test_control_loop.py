import pytest
from hypothesis import given, settings

from shared.bots.deploy import asking_to_roll
from shared.endpoints.plan import Step
from shared.endpoints.record import Observed, Status
from shared.errors import RegistryUnavailableError
from shared.log import logger
from tests.histories import HISTORIES, NAMES, WISHES, History, World


@settings(max_examples=500, deadline=None)
@given(HISTORIES)
def test_any_history_ends_as_wanted(history: History) -> None:
    history.end_as_wanted()


@pytest.mark.parametrize("writes_that_are_made", range(1, 7))
def test_a_run_that_the_registry_failed_leaves_the_endpoint_to_the_next_one(writes_that_are_made: int) -> None:
    world = World("nobody", Status.MISSING)
    world.a_bot_is_registered(NAMES[0], WISHES[0])
    world.the_registry_fails(after=writes_that_are_made)  # the first takes the lease
    with pytest.raises(RegistryUnavailableError):
        world.an_event_or_a_trigger_arrives(1, NAMES[0])

    world.an_event_or_a_trigger_arrives(1, NAMES[0])

    assert list(world.sagemaker.endpoints) == [NAMES[0]]


def test_a_step_is_told_under_the_request_that_it_is_carried_out_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("ours", Status.IN_SERVICE)
    world.an_event_or_a_trigger_arrives(1, NAMES[0])
    look, carry_out = world.sagemaker.observe, world.sagemaker.carry_out
    told = []

    def deployed_during_the_look(name: str) -> Observed:
        world.records.upsert(name, lambda now: asking_to_roll(now, WISHES[1]).requested("the-deploy", world.clock()))
        return look(name)

    def telling(step: Step) -> None:
        told.append(logger.get_current_keys()["requested_by"])
        carry_out(step)

    monkeypatch.setattr(world.sagemaker, "observe", deployed_during_the_look)
    monkeypatch.setattr(world.sagemaker, "carry_out", telling)
    world.an_event_or_a_trigger_arrives(1, NAMES[0])

    assert set(told) == {"the-deploy"}


def test_a_lease_whose_answer_was_lost_is_not_taken_for_somebody_elses() -> None:
    world = World("nobody", Status.MISSING)
    world.a_bot_is_registered(NAMES[0], WISHES[0])
    world.an_answer_is_lost_and_another_run_comes_by()

    world.an_event_or_a_trigger_arrives(1, NAMES[0])

    assert list(world.sagemaker.endpoints) == [NAMES[0]]
