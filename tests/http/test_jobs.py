"""Jobs over HTTP on the whole stack: a container written against the contract alone does the work."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from local.aws import make_bucket
from local.opensearch import OpenSearchNode
from local.stack import Running, listen, stack
from tests.jobs import batch_jobs, begun, files, finished, post, registered, results
from tests.proxies import SigningProxy
from tests.support import ApiClient, at_once, eventually

Make = Callable[..., dict[str, Any]]
Upload = Callable[..., str]
WORKER = Path(__file__).parent.parent / "contract_worker.py"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def running(signed_opensearch: SigningProxy) -> Iterator[Running]:
    own = {"INDEX_PREFIX": "jobs", "ENDPOINT_WAIT_SECONDS": "8"}
    with stack(
        signed_opensearch.url,
        listen(0),
        workers=3,
        extra=own,
        program=[sys.executable, str(WORKER)],
        pace=0.01,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def api(running: Running) -> ApiClient:
    return ApiClient(running.url, running.aws_url)


@pytest.fixture
def bot(api: ApiClient, configuration: Make) -> str:
    """A bot for pictures whose endpoint is in service."""
    return registered(api, configuration(file_types=".jpg,.PNG"))


@pytest.fixture
def upload(api: ApiClient) -> Upload:
    """Make a bucket that holds objects of these keys."""

    def make(*keys: str) -> str:
        bucket = f"media-{next(_numbers)}"
        s3 = api.aws("s3")
        make_bucket(s3, bucket)
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"" if "empty" in key else b"picture")
        return bucket

    return make


def in_status(api: ApiClient, id: str, status: str) -> Any:
    return eventually(lambda: api("GET", f"/jobs/{id}").json, lambda job: job["status"] == status)


def test_a_job_tags_every_file_once_and_its_counts_sum(api: ApiClient, bot: str, upload: Upload) -> None:
    pictures = [f"2026/{number}.jpg" for number in range(7)]
    bucket = upload(*pictures, "2026/notes.txt", "2025/0.jpg")
    reply = post(api, bot, bucket, s3_path="2026/", number_of_bots=2)
    id = reply.json["job_id"]
    assert (reply.status, reply.headers["location"]) == (202, f"/jobs/{id}")
    assert (reply.json["status"], reply.json["files"], reply.json["percent"]) == ("QUEUED", 0, 0.0)

    job = finished(api, id)

    assert (job["status"], job["reason"], job["percent"], job["seconds_left"]) == ("COMPLETED", "", 100.0, None)
    assert job["counts"] == {"NOT_STARTED": 0, "PROCESSING": 0, "COMPLETED": 7, "ERROR": 0}
    assert job["files_per_second"] > 0
    assert job["created_date"] <= job["started_date"] <= job["finished_date"] == job["update_date"]
    assert results(api, bucket) == [f"results/{key}.json" for key in pictures]
    shown = files(api, id, limit=3)
    assert [file["file_key"] for file in shown] == pictures
    assert [file["batch_id"] for file in shown] == ["1", "2", "1", "2", "1", "2", "1"]
    assert shown[0]["output"] == f"s3://{bucket}/results/2026/0.jpg.json"
    assert (shown[0]["attempts"], shown[0]["size"], shown[0]["error"]) == (1, 7, "")
    assert sorted(job["jobName"] for job in batch_jobs(api, id)) == [f"{id}-1-1", f"{id}-1-2"]


def test_a_file_that_is_refused_is_told_with_its_reason_and_retry_touches_it_alone(
    api: ApiClient, bot: str, upload: Upload
) -> None:
    bucket = upload("a.jpg", "b.jpg", "refused.jpg")
    id = begun(api, bot, bucket, number_of_bots=3)
    job = finished(api, id)
    assert (job["status"], job["reason"]) == ("COMPLETED_WITH_ERRORS", "1 of 3 files was refused by the bot")
    assert job["counts"]["ERROR"] == 1
    (refused,) = files(api, id, status="ERROR")
    assert (refused["error"], refused["error_code"]) == ("no picture in refused.jpg", "ValueError")
    before = files(api, id, status="COMPLETED")

    retried = api("POST", f"/jobs/{id}/retry")

    assert (retried.status, retried.json["run"], retried.json["finished_date"]) == (202, 2, "")
    assert finished(api, id)["status"] == "COMPLETED_WITH_ERRORS"
    assert files(api, id, status="COMPLETED") == before
    assert files(api, id, status="ERROR")[0]["attempts"] == 1, "a retry counts anew"
    assert [job["jobName"] for job in batch_jobs(api, id) if job["jobName"].startswith(f"{id}-2-")] == [f"{id}-2-3"]


def test_a_slice_that_fails_for_good_fails_the_job_with_batchs_reason(api: ApiClient, bot: str, upload: Upload) -> None:
    id = begun(api, bot, upload("a.jpg", "b-crash.jpg", "c.jpg"), number_of_bots=3)

    job = finished(api, id)

    assert job["status"] == "FAILED"
    assert job["counts"] == {"NOT_STARTED": 0, "PROCESSING": 1, "COMPLETED": 2, "ERROR": 0}
    assert job["reason"].startswith("1 of 3 files was not finished: Batch says of slice 2: ")
    assert "exit code 1" in job["reason"]


@pytest.mark.parametrize("fields", [{"s3_path": "nothing/here/"}, {"s3_path": "notes"}])
def test_no_match_is_completed_with_no_files_and_no_batch_job(
    api: ApiClient, bot: str, upload: Upload, fields: dict[str, Any]
) -> None:
    id = begun(api, bot, upload("a.jpg", "notes.txt", "notes/"), **fields)

    job = finished(api, id)

    assert (job["status"], job["files"], job["percent"], job["files_per_second"]) == ("COMPLETED", 0, 100.0, None)
    assert batch_jobs(api, id) == []
    assert api("POST", f"/jobs/{id}/retry").status == 409


def test_awkward_keys_have_results_of_their_own(api: ApiClient, bot: str, upload: Upload) -> None:
    keys = [
        "in/a b+c%20d%2Fe.jpg",
        "in/100%.PNG",
        "in/été/日本語/😀.jpg",
        "in/q?x=1&y=2#z.png",
        "in/one/cat.jpg",
        "in/two/cat.jpg",
        "in//double.jpg",
        "in/empty.jpg",
        "in/" + "k" * 950 + ".jpg",
    ]
    bucket = upload(*keys, "in/folder.jpg/", "in/results/earlier.jpg")

    id = begun(api, bot, bucket, s3_path="in/", output_s3_prefix="in/results/", number_of_bots=50, bulk_size=2)

    assert finished(api, id)["status"] == "COMPLETED"
    shown = files(api, id, limit=2)
    assert [file["file_key"] for file in shown] == sorted(keys, key=str.encode)
    assert results(api, bucket, "in/results/in/") == sorted(f"in/results/{key}.json" for key in keys)
    assert {file["output"] for file in shown} == {f"s3://{bucket}/in/results/{key}.json" for key in keys}
    assert len(batch_jobs(api, id)) == len(keys)


def test_results_that_lie_among_the_files_are_not_taken_for_files(
    api: ApiClient, configuration: Make, upload: Upload
) -> None:
    bot = registered(api, configuration(file_types=".json"))
    bucket = upload("data/a.json", "data/b.json")
    fields = {"s3_path": "data/", "output_s3_prefix": "data/tags"}
    finished(api, begun(api, bot, bucket, **fields))

    again = finished(api, begun(api, bot, bucket, **fields))

    assert (again["status"], again["files"]) == ("COMPLETED", 2)
    assert results(api, bucket, "data/tags/") == ["data/tags/data/a.json.json", "data/tags/data/b.json.json"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"s3_bucket": "no-such-bucket"}, "there is no bucket named 'no-such-bucket'"),
        ({"output_s3_bucket": "no-such-results"}, "there is no bucket named 'no-such-results'"),
    ],
)
def test_a_bucket_that_is_missing_fails_the_job_with_a_sentence(
    api: ApiClient, bot: str, upload: Upload, fields: dict[str, Any], sentence: str
) -> None:
    job = finished(api, begun(api, bot, upload("a.jpg"), **fields))

    assert (job["status"], job["reason"], job["files"], job["percent"]) == ("FAILED", sentence, 0, 0.0)


def test_a_failed_listing_can_be_retried_once_its_reason_is_gone(api: ApiClient, bot: str, upload: Upload) -> None:
    bucket, late = upload("a.jpg"), f"late-{next(_numbers)}"
    id = begun(api, bot, bucket, output_s3_bucket=late)
    assert finished(api, id)["status"] == "FAILED"
    make_bucket(api.aws("s3"), late)

    api("POST", f"/jobs/{id}/retry")

    assert finished(api, id)["status"] == "COMPLETED"
    assert results(api, late) == ["results/a.jpg.json"]


def test_an_endpoint_that_is_never_ready_fails_the_job_with_a_sentence(
    api: ApiClient, configuration: Make, upload: Upload
) -> None:
    missing = configuration(endpoint_ecr_image_path="", file_types=".jpg")
    api.register(missing)

    id = begun(api, missing["name"], upload("a.jpg"))

    in_status(api, id, "WAITING")
    job = finished(api, id)
    assert job["status"] == "FAILED"
    assert job["reason"].startswith(f"endpoint {missing['endpoint_name']} was not in service after 8 s (Missing)")


def test_a_job_waits_for_its_endpoint(api: ApiClient, configuration: Make, upload: Upload) -> None:
    late = configuration(endpoint_ecr_image_path="", file_types=".jpg")
    api.register(late)
    id = begun(api, late["name"], upload("a.jpg"))
    in_status(api, id, "WAITING")

    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/layout:3"
    api("PATCH", f"/bots/{late['name']}", {"endpoint_ecr_image_path": image})

    assert finished(api, id)["status"] == "COMPLETED"


def test_a_bot_deleted_in_between_fails_the_job_with_a_sentence(
    api: ApiClient, configuration: Make, upload: Upload, node: OpenSearchNode
) -> None:
    waiting = configuration(endpoint_ecr_image_path="", file_types=".jpg")
    api.register(waiting)
    id = begun(api, waiting["name"], upload("a.jpg"))
    in_status(api, id, "WAITING")

    deleted_behind_our_back(node, waiting["name"])

    job = finished(api, id)
    assert (job["status"], job["reason"]) == ("FAILED", f"its bot '{waiting['name']}' was deleted before the job began")
    assert api("POST", f"/jobs/{id}/retry").status == 409


def test_a_bot_whose_jobs_run_is_not_removed(api: ApiClient, bot: str, upload: Upload) -> None:
    id = begun(api, bot, upload("slow.jpg"))

    refused = api("DELETE", f"/bots/{bot}")

    assert (refused.status, refused.json["type"]) == (409, "urn:byob:bot-has-jobs")
    api("POST", f"/jobs/{id}/cancel")
    in_status(api, id, "CANCELLED")
    assert api("DELETE", f"/bots/{bot}").status == 204
    assert api("POST", f"/jobs/{id}/retry").status == 409


def test_one_idempotency_key_is_one_job(api: ApiClient, bot: str, upload: Upload) -> None:
    bucket, key = upload("a.jpg"), {"Idempotency-Key": f"pictures of today, part {next(_numbers)}"}

    replies = at_once(20, lambda _: post(api, bot, bucket, key))

    assert {reply.status for reply in replies} == {202}
    (id,) = {reply.json["job_id"] for reply in replies}
    finished(api, id)
    later = post(api, bot, bucket, key)
    assert (later.status, later.json["job_id"], later.json["status"]) == (202, id, "COMPLETED")
    assert len(batch_jobs(api, id)) == 1
    other = post(api, bot, bucket, key, number_of_bots=2)
    assert (other.status, other.json["type"]) == (422, "urn:byob:idempotency-key-reused")
    assert "number_of_bots" in other.json["detail"]
    assert post(api, bot, bucket).json["job_id"] != id
    assert post(api, bot, bucket, {"Idempotency-Key": "k" * 256}).pointers == ["/Idempotency-Key"]


def test_cancelling_while_it_waits(api: ApiClient, configuration: Make, upload: Upload) -> None:
    waiting = configuration(endpoint_ecr_image_path="")
    api.register(waiting)
    id = begun(api, waiting["name"], upload("a.jpg"))
    in_status(api, id, "WAITING")

    cancelled = api("POST", f"/jobs/{id}/cancel")

    assert (cancelled.status, cancelled.json["status"] in ("CANCELLING", "CANCELLED")) == (202, True)
    job = in_status(api, id, "CANCELLED")
    assert (job["files"], batch_jobs(api, id)) == (0, [])
    assert api("POST", f"/jobs/{id}/cancel").status == 409


def test_cancelling_while_it_runs_ends_every_container_and_a_retry_finishes(
    api: ApiClient, bot: str, upload: Upload
) -> None:
    keys = ["a.jpg", *(f"slow-{number:02}.jpg" for number in range(11))]
    bucket = upload(*keys)
    id = begun(api, bot, bucket, number_of_bots=12)
    eventually(lambda: api("GET", f"/jobs/{id}").json["counts"]["PROCESSING"], lambda busy: busy > 0)

    api("POST", f"/jobs/{id}/cancel")

    job = in_status(api, id, "CANCELLED")
    assert sum(job["counts"].values()) == job["files"] == 12
    over = eventually(
        lambda: {job["status"] for job in batch_jobs(api, id)}, lambda seen: seen <= {"SUCCEEDED", "FAILED"}
    )
    assert "FAILED" in over
    in_the_way = [file["file_key"] for file in files(api, id) if file["status"] != "COMPLETED"]
    assert "slow-00.jpg" in in_the_way


def test_an_execution_that_dies_by_itself_is_noticed(api: ApiClient, bot: str, upload: Upload) -> None:
    id = begun(api, bot, upload("a.jpg", "slow.jpg"))
    eventually(lambda: api("GET", f"/jobs/{id}").json["counts"]["PROCESSING"], lambda busy: busy > 0)
    states = api.aws("stepfunctions")
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    execution = machine.replace(":stateMachine:", ":execution:") + f":{id}-1"

    states.stop_execution(executionArn=execution, error="SomebodysHand")

    job = finished(api, id)
    assert job["status"] == "FAILED"
    assert job["reason"].endswith("its execution in Step Functions ended before its time (ABORTED, SomebodysHand)")
    eventually(lambda: {job["status"] for job in batch_jobs(api, id)}, lambda seen: seen <= {"SUCCEEDED", "FAILED"})


@pytest.mark.parametrize("number", [0, 10_001, -1, 2.5, "2", True])
def test_a_number_of_bots_out_of_range_is_refused(api: ApiClient, bot: str, number: Any) -> None:
    refused = post(api, bot, "media-of-nobody", number_of_bots=number)

    assert (refused.status, refused.pointers) == (422, ["/number_of_bots"])
    assert refused.json["errors"][0]["detail"] == "must be a whole number from 1 to 10000"


def test_every_violation_is_told_at_once(api: ApiClient) -> None:
    refused = api(
        "POST",
        "/jobs",
        {
            "bot_name": "no such bot",
            "s3_bucket": "s3://media/pictures",
            "s3_path": "s3://media",
            "output_s3_prefix": "a\nb",
            "number_of_bots": 0,
            "bulk_size": 1001,
            "number_of_bot": 3,
        },
    )

    assert refused.status == 422
    assert set(refused.pointers) == {
        "/bot_name",
        "/s3_bucket",
        "/s3_path",
        "/output_s3_bucket",
        "/output_s3_prefix",
        "/number_of_bots",
        "/bulk_size",
        "/number_of_bot",
    }
    details = {error["pointer"]: error["detail"] for error in refused.json["errors"]}
    assert details["/output_s3_bucket"] == "is required"
    assert "did you mean number_of_bots?" in details["/number_of_bot"]


def test_an_unknown_bot_is_refused(api: ApiClient) -> None:
    refused = post(api, "nobodys-bot", "media-of-nobody")

    assert (refused.status, refused.pointers) == (422, ["/bot_name"])


def test_jobs_are_listed_the_newest_first_page_by_page(api: ApiClient, bot: str, upload: Upload) -> None:
    bucket = upload()
    ids = [begun(api, bot, bucket) for _ in range(5)]
    for id in ids:
        finished(api, id)

    def everything(parameters: str) -> list[Any]:
        listed, token = [], ""
        while token is not None:
            page = api("GET", f"/jobs?limit=2{parameters}" + (f"&next_token={token}" if token else "")).json
            listed += page["jobs"]
            token = page["next_token"]
        return listed

    # A job shows its end by its id a moment before a search does.
    listed = eventually(lambda: everything(f"&bot_name={bot}&status=COMPLETED"), lambda seen: len(seen) >= 5)

    assert {job["job_id"] for job in listed} == set(ids)
    assert len(listed) == 5
    order = [(job["created_date"], job["job_id"]) for job in listed]
    assert order == sorted(order, reverse=True)
    assert everything(f"&bot_name={bot}&status=FAILED") == []
    assert "counts" not in listed[0]
    assert api("GET", "/jobs?status=DONE&limit=0&bot_name=a%20b&next_token=x").pointers == [
        "/bot_name",
        "/status",
        "/limit",
        "/next_token",
    ]


def test_a_job_that_there_is_not_is_not_found(api: ApiClient) -> None:
    for id in ("0" * 32, "nonsense", "..%2Fjobs"):
        calls = [("GET", ""), ("GET", "/files"), ("POST", "/cancel"), ("POST", "/retry")]
        assert [api(method, f"/jobs/{id}{path}").status for method, path in calls] == [404] * 4
    assert api("GET", f"/jobs/{'0' * 32}/files?status=LOST").pointers == ["/status"]


def deleted_behind_our_back(node: OpenSearchNode, name: str) -> None:
    with urlopen(Request(f"{node.url}/jobs-bots/_doc/{name}?refresh=true", method="DELETE")) as answer:
        assert json.load(answer)["result"] == "deleted"
