import json
import re
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from local.template import ROOT
from shared import metrics, settings
from shared.endpoints.outcome import report
from shared.endpoints.record import MAX_ATTEMPTS, EndpointRecord, Observed, Status, Wanted

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LAYOUT = Wanted("layout:1", "", "ml.m5.large")
ALL = {metric.name: metric.unit for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}


@pytest.fixture(autouse=True)
def _nothing_recorded_before() -> None:
    metrics.flush({})


def written(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    capsys.readouterr()
    metrics.flush({})
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_more_values_than_a_line_may_have_are_on_further_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for value in range(250):
        metrics.record(metrics.OPENSEARCH_LATENCY, value)
    metrics.record(metrics.PROVISIONING_STEPS)

    lines = written(capsys)

    assert [len(line["OpenSearchLatency"]) for line in lines] == [100, 100, 50]
    assert [value for line in lines for value in line["OpenSearchLatency"]] == list(range(250))
    assert ["ProvisioningSteps" in line for line in lines] == [True, False, False]


def test_a_line_is_one_write_so_that_no_other_process_gets_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=writes.append))
    metrics.record(metrics.PROVISIONING_STEPS)

    metrics.flush({})

    (line,) = [write for write in writes if write]
    assert line.endswith("}\n")


def test_an_invocation_leaves_no_value_to_the_next(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    settings.metrics.cache_clear()
    metrics.record(metrics.PROVISIONING_STEPS)
    disabled = written(capsys)
    monkeypatch.undo()
    settings.metrics.cache_clear()

    assert (disabled, written(capsys)) == ([], [])


@pytest.mark.parametrize("text", [metrics.__doc__ or "", (ROOT / "docs" / "operations.md").read_text()])
def test_the_tables_list_every_metric_with_its_unit(text: str) -> None:
    listed = re.findall(r"^\| `?(\w+)`? \| (Count|Seconds|Milliseconds) \|", text, flags=re.MULTILINE)

    assert dict(listed) == ALL
    assert len(listed) == len(ALL)


def test_giving_up_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    record = EndpointRecord("invoice-layout", wanted=LAYOUT, attempts=MAX_ATTEMPTS - 1)
    refused = record.refused("ResourceLimitExceeded", "no quota", NOW)

    report(record, refused, NOW)
    report(refused, refused.seen(Observed(Status.MISSING), NOW), NOW)

    (line,) = written(capsys)
    assert line["ProvisioningGivenUp"] == [1]


def test_an_update_that_was_taken_back_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    record = EndpointRecord("invoice-layout", wanted=LAYOUT, managed=True, roll_to="new", rolled_from="before")
    taken_back = record.seen(Observed(Status.IN_SERVICE, "old", managed=True, modified_at="after"), NOW)

    report(record, taken_back, NOW)

    (line,) = written(capsys)
    assert line["ProvisioningFailed"] == [1]
    assert "ProvisioningInService" not in line


def wished() -> EndpointRecord:
    new = EndpointRecord("invoice-layout")
    return new.wishing(LAYOUT).requested("the-post", NOW, before=new)


def in_service(record: EndpointRecord) -> Observed:
    return Observed(Status.IN_SERVICE, record.target, managed=True)


def test_the_time_until_an_endpoint_is_in_service_counts_from_the_wish(capsys: pytest.CaptureFixture[str]) -> None:
    record = wished().seen(Observed(Status.MISSING), NOW)
    creating = record.seen(Observed(Status.CREATING, record.target, managed=True), NOW + timedelta(seconds=30))
    made = creating.seen(in_service(record), NOW + timedelta(seconds=200))

    report(record, creating, NOW + timedelta(seconds=30))
    report(creating, made, NOW + timedelta(seconds=200))
    report(made, made.seen(in_service(record), NOW + timedelta(hours=1)), NOW + timedelta(hours=1))

    (line,) = written(capsys)
    assert (line["ProvisioningInService"], line["ProvisioningSeconds"]) == ([1], [200])
    assert (made.requested_by, made.awaited_since) == ("the-post", None)


@pytest.mark.parametrize(
    "seen",
    [in_service(wished()), Observed(Status.IN_SERVICE, "theirs"), Observed(Status.IN_SERVICE, "x", managed=True)],
)
def test_nobody_waits_for_an_endpoint_that_was_there_already(seen: Observed) -> None:
    assert wished().seen(seen, NOW).awaited_since is None


def test_an_endpoint_that_fails_after_it_was_in_service_is_waited_for_anew() -> None:
    failed_at = NOW + timedelta(days=90)
    made = wished().seen(in_service(wished()), NOW)

    failed = made.seen(Observed(Status.FAILED, made.target, managed=True), failed_at)

    assert (failed.awaited_since, failed.requested_by) == ("2027-02-22T09:30:00Z", "the-post")


def test_the_same_wish_again_is_still_the_first_ones() -> None:
    record = wished()

    again = record.wishing(LAYOUT).requested("another-post", NOW + timedelta(days=1), before=record)

    assert again == record
