from hypothesis import given, settings

from tests.histories import HISTORIES, History


@settings(max_examples=500, deadline=None)
@given(HISTORIES)
def test_any_history_ends_as_wanted(history: History) -> None:
    history.end_as_wanted()
