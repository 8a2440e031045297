"""The planner over a real index and an emulated S3: whatever interrupts it, each file becomes one item."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from local.aws import make_bucket
from shared import clock, opensearch
from shared.errors import JobCannotRunError, JobStoppedError
from shared.jobs.item import ItemStatus
from shared.jobs.items import Items
from shared.jobs.list_files import Place, list_files
from shared.jobs.objects import Objects
from shared.jobs.query import FileQuery
from shared.jobs.record import Job
from shared.jobs.registry import JobRegistry
from tests.proxies import SigningProxy
from tests.support import ApiClient, in_this_process

PICTURES = [f"pictures/{number:03}.{'png' if number % 4 else 'JPG'}" for number in range(23)]
OTHERS = ["pictures/", "pictures/notes.txt", "pictures/old.png/", "picturesque.png", "thumbnails/000.png"]
BOT = {
    "bot_image": "tagger:1",
    "bot_image_cmd": "",
    "bot_vcpu": "",
    "bot_mem": "",
    "endpoint_name": "tags",
    "file_types": ".jpg,.png",
}
BEGINNING = Place()
_numbers = itertools.count(1)


class Crash(BaseException):
    """The function is gone, with whatever it was about to do."""


class Doors:
    """The planner's doors, with pages of three keys, that crash when told to."""

    def __init__(self) -> None:
        self.jobs = JobRegistry()
        self.items = Items()
        self.objects = Objects(page_keys=3)

    def plan(self, job: Job, place: Place = BEGINNING, pages: int = 1000) -> Place:
        """Run one invocation that has time for so many pages."""
        left = itertools.count(pages - 1, -1)
        return list_files(
            job.job_id,
            job.run,
            place,
            jobs=self.jobs,
            items=self.items,
            objects=self.objects,
            goes_on=lambda: next(left) > 0,
        )

    def files(self, job: Job) -> dict[str, Mapping[str, Any]]:
        self.items.refresh()
        listed = self.items.page(FileQuery(job.job_id, 100), 1000)
        assert len({item["file_key"] for item in listed}) == len(listed)
        return {item["file_key"]: item for item in listed}


@pytest.fixture(scope="module")
def s3(api: ApiClient) -> Any:
    client = api.aws("s3")
    for bucket in ("planned", "results"):
        make_bucket(client, bucket)
    for key in [*PICTURES, *OTHERS]:
        client.put_object(Bucket="planned", Key=key, Body=b"")
    return client


@pytest.fixture
def doors(signed_opensearch: SigningProxy, api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    url = signed_opensearch.url
    with in_this_process(url, "planned", monkeypatch, function="ListFiles", aws_url=api.aws_url):
        yield Doors()


@pytest.fixture
def make(doors: Doors, s3: Any) -> Callable[..., Job]:
    def job(**changes: Any) -> Job:
        request = {
            "bot_name": "tagger",
            "s3_bucket": "planned",
            "s3_path": "pictures/",
            "output_s3_bucket": "results",
            "output_s3_prefix": "",
            "number_of_bots": 4,
            "bulk_size": 2,
        }
        made = Job.new(f"{next(_numbers):032x}", {**request, **changes}, BOT, clock.now())
        doors.jobs.create(made)
        return made

    return job


def interrupted(doors: Doors, job: Job, at_page: int, *, committed: bool, pages: int) -> Place:
    """Run invocations as the state machine does, the one that meets page `at_page` twice, as it crashed there."""
    count = itertools.count()
    add = doors.items.add

    def crashing(job: Job, items: list[Mapping[str, Any]]) -> None:
        now = next(count) == at_page
        if committed or not now:
            add(job, items)
        if now:
            raise Crash

    doors.items.add = crashing  # type: ignore[method-assign]
    place = Place()
    while not place.done:
        try:
            place = doors.plan(job, place, pages)
        except Crash:
            continue
    return place


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("pages", [1, 2, 5])
@pytest.mark.parametrize("at_page", range(8))
def test_a_listing_interrupted_at_any_page_ends_as_if_it_had_not_been(
    doors: Doors, make: Callable[..., Job], at_page: int, pages: int, committed: bool
) -> None:
    job = make()

    place = interrupted(doors, job, at_page, committed=committed, pages=pages)

    files = doors.files(job)
    assert list(files) == sorted(PICTURES)
    assert [item["batch_id"] for item in files.values()] == [str(i % 4 + 1) for i in range(len(PICTURES))]
    assert (place.files, doors.jobs.get(job.job_id).listed) == (len(PICTURES), True)
    assert doors.items.counts(job.job_id)[ItemStatus.NOT_STARTED] == len(PICTURES)


def test_a_whole_listing_that_is_repeated_adds_nothing_and_changes_nothing(
    doors: Doors, make: Callable[..., Job]
) -> None:
    job = make()
    doors.plan(job)
    before = doors.files(job)

    interrupted(doors, job, 99, committed=True, pages=2)

    assert doors.files(job) == before


def test_no_match_is_an_empty_list(doors: Doors, make: Callable[..., Job]) -> None:
    no_prefix, no_type = make(s3_path="nothing/here/"), make(s3_path="pictures/notes")

    assert [doors.plan(job).files for job in (no_prefix, no_type)] == [0, 0]
    assert doors.files(no_prefix) == doors.files(no_type) == {}
    assert doors.jobs.get(no_type.job_id).listed


def test_awkward_keys_are_kept_as_they_are(doors: Doors, make: Callable[..., Job], s3: Any) -> None:
    awkward = [
        "odd/ leading and trailing .png ".strip() + ".png",
        "odd/a b+c%20d%2Fe.png",
        "odd/100%.png",
        "odd/été/日本語/😀.png",
        "odd/q?x=1&y=2#z.PNG",
        "odd/same/cat.png",
        "odd/other/cat.png",
        "odd//double//slash.png",
        "odd/" + "k" * 1010 + ".png",
    ]
    for key in awkward:
        s3.put_object(Bucket="planned", Key=key, Body=b"12345")
    s3.put_object(Bucket="planned", Key="odd/empty.png", Body=b"")
    s3.put_object(Bucket="planned", Key="odd/folder.png/", Body=b"")
    job = make(s3_path="odd/")

    doors.plan(job)

    files = doors.files(job)
    assert set(files) == {*awkward, "odd/empty.png"}
    assert (files["odd/empty.png"]["size"], files["odd/100%.png"]["size"]) == (0, 5)


@pytest.mark.parametrize(
    ("path", "prefix", "file_types", "expected"),
    [
        (
            "in/",
            "in/results",
            ".json",
            ["in/a.json", "in/b.json", "in/in/a.json.json"],
        ),  # inside: nothing under it is a file
        ("in/", "in/results/", ".json", ["in/a.json", "in/b.json", "in/in/a.json.json"]),
        ("in/", "in", ".json", ["in/a.json", "in/b.json", "in/results/in/a.json.json"]),  # equal: its own results
        ("", "", ".json", ["in/a.json", "in/b.json"]),
        ("in/", "elsewhere", ".json", ["in/a.json", "in/b.json", "in/in/a.json.json", "in/results/in/a.json.json"]),
    ],
)
def test_results_never_become_files(
    doors: Doors, make: Callable[..., Job], s3: Any, path: str, prefix: str, file_types: str, expected: list[str]
) -> None:
    bucket = f"mixed-{next(_numbers)}"
    make_bucket(s3, bucket)
    for key in ("in/a.json", "in/b.json", "in/in/a.json.json", "in/results/in/a.json.json"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
    job = make(s3_bucket=bucket, s3_path=path, output_s3_bucket=bucket, output_s3_prefix=prefix)
    job = doors.jobs.update(job.job_id, lambda now: replace(now, file_types=file_types))

    doors.plan(job)

    assert sorted(doors.files(job)) == expected


def test_a_bucket_that_is_not_there_is_told_by_its_name(doors: Doors, make: Callable[..., Job]) -> None:
    with pytest.raises(JobCannotRunError, match="there is no bucket named 'no-such-bucket'"):
        doors.plan(make(s3_bucket="no-such-bucket"))
    with pytest.raises(JobCannotRunError, match="there is no bucket named 'no-such-results'"):
        doors.plan(make(output_s3_bucket="no-such-results"))


def test_a_planner_whose_job_is_cancelled_stops_after_its_page(doors: Doors, make: Callable[..., Job]) -> None:
    job = make()
    place = doors.plan(job, pages=1)
    add = doors.items.add

    def cancelling(job: Job, items: list[Mapping[str, Any]]) -> None:
        add(job, items)
        doors.jobs.update(job.job_id, lambda now: now.cancelling(clock.now()))

    doors.items.add = cancelling  # type: ignore[method-assign]

    with pytest.raises(JobStoppedError):
        doors.plan(job, place)

    assert 0 < len(doors.files(job)) < len(PICTURES)


def test_a_retry_sets_back_exactly_what_failed_or_was_left_unfinished(doors: Doors, make: Callable[..., Job]) -> None:
    job = make()
    doors.plan(job)
    index = opensearch.Index("items", {}, dynamic="false")
    ids = {item["file_key"]: id for id, item in _documents(index, job)}
    outcomes = dict(zip(PICTURES, itertools.cycle(["COMPLETED", "ERROR", "PROCESSING", "NOT_STARTED"]), strict=False))
    for key, status in outcomes.items():
        fields = {"status": status, "attempts": 1, "error": "no luck" * (status == "ERROR"), "colour": "their own"}
        opensearch.client().update(index=index.alias, id=ids[key], body={"doc": fields})
    before = doors.files(job)
    again = doors.jobs.update(
        job.job_id, lambda now: now.ended(now.status.COMPLETED_WITH_ERRORS, "", clock.now()).retried(BOT, clock.now())
    )

    place = doors.plan(again, pages=1)
    assert doors.plan(again, place).done

    after = doors.files(job)
    for key, status in outcomes.items():
        if status in ("COMPLETED", "NOT_STARTED"):
            assert after[key] == before[key]
        else:
            assert (after[key]["status"], after[key]["error"]) == ("NOT_STARTED", "")
            assert (after[key]["attempts"], after[key]["colour"]) == (0, "their own")


def test_a_retry_completes_a_listing_that_broke_off(doors: Doors, make: Callable[..., Job], s3: Any) -> None:
    job = make()
    doors.plan(job, pages=2)
    again = doors.jobs.update(
        job.job_id, lambda now: now.ended(now.status.FAILED, "broke off", clock.now()).retried(BOT, clock.now())
    )

    doors.plan(again)

    assert list(doors.files(job)) == sorted(PICTURES)


def _documents(index: opensearch.Index, job: Job) -> list[tuple[str, Mapping[str, Any]]]:
    index.refresh()
    hits = index.search({"size": 1000, "query": {"term": {"job_id": {"value": job.job_id}}}})
    return [(hit.id, hit.source) for hit in hits]
