"""The kit's worker as a process, given the contract's environment: what it does with each file, and how it ends."""

import json
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import psutil
import pytest
from werkzeug.wrappers import Response

from benchmarks.lister import DENIED, Lister, Refusal
from local.aws import CREDENTIALS, REGION
from tests.proxies import FaultProxy, SigningProxy
from tests.slices import BUCKET, INDEX, Endpoints, Job, refusal
from tests.support import eventually

# Each file says what shall happen to it.
ACT_AS_TOLD = """
def main_task(file_name):
    told = Path(file_name).read_text()
    with open(LOG, "a") as log:
        log.write(told + chr(10))
    return eval(told)
"""
WAIT_TO_GO = """
def wait_to_go():
    while not os.path.exists(LOG + ".go"):
        time.sleep(0.05)
"""
LOG_THE_NAME = """
with open(LOG, "a") as log:
    log.write("loaded" + chr(10))

def main_task(file_name):
    with open(LOG, "a") as log:
        log.write(file_name + chr(10))
    return Path(file_name).read_text()
"""


# --- What becomes of a file ---


@pytest.mark.parametrize("command", [("-m", "plumbing"), ("task.py",)], ids=["as the image does", "task.py alone"])
def test_the_task_as_it_comes_has_the_endpoint_answer_for_each_file(
    job: Job, endpoints: Endpoints, command: tuple[str, ...]
) -> None:
    job.add({"2026/cat.jpg": b"a cat", "2025/cat.jpg": b"an older cat"})

    code, log = job.work(*command)

    assert code == 0, log
    assert job.statuses() == {"2026/cat.jpg": "COMPLETED", "2025/cat.jpg": "COMPLETED"}
    assert job.result_of("2026/cat.jpg") == {"endpoint": "tagger", "bytes": 5}
    assert job.result_keys() == [f"{job.id}/2025/cat.jpg.json", f"{job.id}/2026/cat.jpg.json"]
    assert sorted(endpoints.seen) == [("tagger", b"a cat"), ("tagger", b"an older cat")]
    assert "2 of 2 done" in log
    assert "files/s" in log


def test_a_finished_file_is_recorded_with_its_result_and_time(job: Job) -> None:
    job.add({"cat.jpg": b"a cat"})

    job.work()

    item = job.items()["cat.jpg"]
    assert (item["status"], item["attempts"], item["error"], item["error_code"]) == ("COMPLETED", 1, "", "")
    assert item["output"] == f"s3://results/{job.id}/cat.jpg.json"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", item["update_date"])
    assert item["worker"]


def test_keys_of_all_kinds_are_worked_on_and_keep_their_results_apart(job: Job) -> None:
    keys = [
        "two words.jpg",
        "à/猫.jpg",
        "a+b%20c.jpg",
        "folder/",
        "x/cat.jpg",
        "y/cat.jpg",
        "empty.png",
        "#?&=:'\".jpg",
    ]
    job.write_task("def main_task(file_name):\n    return Path(file_name).read_text()")
    job.add({key: b"" if key == "empty.png" else key.encode() for key in keys})

    code, log = job.work()

    assert code == 0, log
    assert job.statuses() == dict.fromkeys(keys, "COMPLETED")
    assert {key: job.result_of(key) for key in keys} == {key: "" if key == "empty.png" else key for key in keys}
    assert sorted(job.result_keys()) == sorted(f"{job.id}/{key}.json" for key in keys)


@pytest.mark.parametrize(
    ("prefix", "result"),
    [("tags", "tags/a/cat.jpg.json"), ("tags/", "tags/a/cat.jpg.json"), ("", "a/cat.jpg.json")],
)
def test_the_output_prefix_is_joined_with_one_slash(job: Job, prefix: str, result: str) -> None:
    job.add({"a/cat.jpg": b"a cat"})

    job.work(output_s3_prefix=prefix)

    assert job.items()["a/cat.jpg"]["output"] == f"s3://results/{result}"


def test_main_task_gets_a_local_file_with_the_extension_and_nothing_is_left_behind(job: Job) -> None:
    job.write_task(LOG_THE_NAME)
    job.add({"scans/page 1.TIFF": b"", "folder/": b"", "no-extension": b""})

    job.work()

    endings = sorted(os.path.splitext(name)[1] for name in job.calls() if name != "loaded")  # noqa: PTH122
    assert endings == ["", "", ".TIFF"]
    assert job.left_behind() == []


def test_what_goes_wrong_with_a_file_is_its_reason_and_the_others_go_on(job: Job) -> None:
    job.write_task(ACT_AS_TOLD, timeout_seconds=2)
    wrong = {
        "raises": ("[][1]", "IndexError", "list index out of range"),
        "half a pair": ("exec('raise OSError(chr(0xd800))')", "OSError", "\\ud800"),
        "verbose": ("exec('raise OSError(\"x\" * 10**7)')", "OSError", "x" * 2000),
        "exits": ("sys.exit(3)", "SystemExit", "3"),
        "dies": ("os._exit(3)", "ProcessEnded", "main_task ended its process: exit code 3"),
        "segfault": ("os.kill(os.getpid(), signal.SIGSEGV)", "ProcessEnded", "main_task ended its process: SIGSEGV"),
        "oom": ("os.kill(os.getpid(), 9)", "ProcessEnded", "main_task ended its process: SIGKILL (out of memory?)"),
        "hangs": ("time.sleep(600)", "Timeout", "main_task took longer than 2 s (TIMEOUT_SECONDS in task.py)"),
        "nan": (
            "float('nan')",
            "NotJson",
            "what main_task returned cannot be written as JSON: Out of range float value",
        ),
        "no json": ("{1, 2}", "NotJson", "what main_task returned cannot be written as JSON: Object of type set"),
    }
    fine = {f"{key} then": "'fine'" for key in wrong}
    job.add({key: told.encode() for key, (told, _, _) in wrong.items()} | dict.fromkeys(fine, b"'fine'"))

    code, log = job.work()

    assert code == 0, log
    items = job.items()
    assert {key: items[key]["status"] for key in fine} == dict.fromkeys(fine, "COMPLETED")
    for key, (_, error_code, sentence) in wrong.items():
        assert (items[key]["status"], items[key]["error_code"], items[key]["output"]) == ("ERROR", error_code, "")
        assert items[key]["error"].startswith(sentence)
    assert job.left_behind() == []


def test_an_object_that_vanished_is_an_error_in_words(job: Job) -> None:
    job.add({"gone.jpg": None, "here.jpg": b"a cat"})

    job.work()

    items = job.items()
    assert (items["gone.jpg"]["error_code"], items["here.jpg"]["status"]) == ("NoSuchKey", "COMPLETED")
    assert items["gone.jpg"]["error"] == f"s3://{BUCKET}/gone.jpg does not exist any more"


def test_a_result_that_s3_does_not_take_is_the_files_error(job: Job) -> None:
    job.add({"cat.jpg": b"a cat"})

    job.work(output_s3_bucket="no-such-bucket")

    assert (job.items()["cat.jpg"]["status"], job.items()["cat.jpg"]["error_code"]) == ("ERROR", "NoSuchBucket")


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        (
            Refusal(
                301,
                "<Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message>",
                {"x-amz-bucket-region": "eu-west-1"},
            ),
            "PermanentRedirect",
            f"the bucket of s3://{BUCKET}/cat.jpg is in eu-west-1, and the bot runs in {REGION} alone",
        ),
        (DENIED, "AccessDenied", f"the bots' role may not use s3://{BUCKET}/cat.jpg: Access Denied; the deployment's "),
        (
            Refusal(404, "<Code>NoSuchBucket</Code><Message>The bucket does not exist</Message>", {}),
            "NoSuchBucket",
            f"there is no bucket of that name: s3://{BUCKET}/cat.jpg",
        ),
    ],
    ids=["elsewhere", "denied", "gone"],
)
def test_a_bucket_that_cannot_be_read_is_the_files_error_in_words(
    job: Job, refusal: Refusal, code: str, sentence: str
) -> None:
    job.add({"cat.jpg": b"a cat"})

    with Lister([]) as lister:
        lister.refusals[BUCKET] = refusal
        job.work(AWS_ENDPOINT_URL_S3=lister.url)

    item = job.items()["cat.jpg"]
    assert (item["status"], item["error_code"]) == ("ERROR", code)
    assert item["error"].startswith(sentence)


def test_a_bucket_in_another_region_takes_no_result(job: Job) -> None:
    job.add({"cat.jpg": b"a cat"})
    moved = "<Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message>"

    with Lister([]) as lister:
        lister.refusals["results"] = Refusal(301, moved, {"x-amz-bucket-region": "eu-west-1"})
        job.work(AWS_ENDPOINT_URL_S3=lister.url)

    assert job.items()["cat.jpg"]["error"] == (
        f"the bucket of s3://results/{job.id}/cat.jpg.json is in eu-west-1, and the bot runs in {REGION} alone"
    )


def test_task_py_is_loaded_once_for_all_files_and_anew_after_a_crash(job: Job) -> None:
    job.write_task("open(LOG, 'a').write('loaded' + chr(10))" + ACT_AS_TOLD)
    job.add({"1": b"1", "2": b"os._exit(1)", "3": b"3", "4": b"4"})

    job.work()

    assert job.calls() == ["loaded", "1", "os._exit(1)", "loaded", "3", "4"]


def test_the_bots_own_arguments_reach_task_py(job: Job) -> None:
    job.write_task("def main_task(file_name):\n    return sys.argv[1:]")
    job.add({"cat.jpg": b"a cat"})

    job.work("-m", "plumbing", "--fast", "two words")

    assert job.result_of("cat.jpg") == ["--fast", "two words"]


def test_a_large_object_does_not_grow_the_worker(job: Job) -> None:
    peak = "re.search(r'VmHWM:\\s+(\\d+)', Path(f'/proc/{os.getppid()}/status').read_text())[1]"
    job.write_task(f"import re\ndef main_task(file_name):\n    return int({peak}) * 1024")
    job.add({"a small one": b"a cat", "b large one": bytes(200_000_000)})

    job.work()

    assert job.result_of("b large one") - job.result_of("a small one") < 20_000_000


# --- The slice ---


def test_a_worker_keeps_to_its_slice(job: Job) -> None:
    job.add({f"{number}.jpg": b"a cat" for number in range(6)}, slices=3)

    job.work(batch_id="2")

    started = {key: "COMPLETED" if key in ("1.jpg", "4.jpg") else "NOT_STARTED" for key in job.items()}
    assert job.statuses() == started


def test_an_empty_slice_ends_well_and_loads_no_bot(job: Job) -> None:
    job.write_task("raise RuntimeError('loaded for nothing')")

    code, log = job.work()

    assert code == 0, log


def test_fields_that_others_have_added_to_a_work_item_stay(job: Job) -> None:
    job.add({"cat.jpg": b"a cat"})
    job.update("cat.jpg", {"colour": "red"})

    job.work()

    assert (job.items()["cat.jpg"]["status"], job.items()["cat.jpg"]["colour"]) == ("COMPLETED", "red")


def test_two_workers_on_one_slice_leave_one_result_for_each_file(job: Job) -> None:
    job.write_task(ACT_AS_TOLD)
    keys = [f"{number:03}" for number in range(60)]
    job.add({key: repr(key).encode() for key in keys})

    with job.start() as one, job.start() as other:
        codes = [worker.wait(60) for worker in (one, other)]

    assert codes[0] == codes[1] == 0
    assert job.statuses() == dict.fromkeys(keys, "COMPLETED")
    assert len(job.result_keys()) == 60


def test_what_another_worker_has_finished_meanwhile_is_neither_written_over_nor_done_again(job: Job) -> None:
    job.write_task(WAIT_TO_GO + ACT_AS_TOLD)
    job.add({"1": b"wait_to_go()", "2": b"2", "3": b"3"})

    with job.start() as worker:
        eventually(job.calls, bool)
        for key in ("1", "2"):  # the one that it is at, and one that its page of the list shows as not begun
            job.update(key, {"status": "COMPLETED", "output": "s3://elsewhere/result.json", "worker": "another"})
        job.go()
        code = worker.wait(60)

    assert code == 0, job.said()
    assert job.calls() == ["wait_to_go()", "3"]
    assert {key: (item["worker"] == "another", item["output"]) for key, item in job.items().items()} == {
        "1": (True, "s3://elsewhere/result.json"),
        "2": (True, "s3://elsewhere/result.json"),
        "3": (False, f"s3://results/{job.id}/3.json"),
    }
    assert "the record of '1' was changed by somebody else" in job.said()


def test_a_file_that_a_killed_attempt_had_begun_is_taken_over(job: Job) -> None:
    job.write_task(ACT_AS_TOLD)
    job.add({"cat.jpg": b"os.path.exists(LOG + '.2') or (open(LOG + '.2', 'w'), time.sleep(600))"})
    with job.start() as first:
        eventually(job.calls, lambda calls: len(calls) == 1)
        first.kill()

    code, log = job.work()

    assert code == 0, log
    assert (job.items()["cat.jpg"]["status"], job.items()["cat.jpg"]["attempts"]) == ("COMPLETED", 2)
    assert job.left_behind() == []


def test_a_file_that_cut_the_worker_off_five_times_is_an_error(job: Job) -> None:
    job.write_task("def main_task(file_name):\n    os.kill(os.getppid(), 9)\n    time.sleep(600)")
    job.add({"heavy": b"a cat"})

    codes = [job.work()[0] for _ in range(5)]
    code, _ = job.work()

    assert (codes, code) == ([-signal.SIGKILL] * 5, 0)
    assert (job.items()["heavy"]["status"], job.items()["heavy"]["error_code"]) == ("ERROR", "WorkerLost")


# --- How it ends ---


def test_all_missing_variables_are_named_at_once(job: Job) -> None:
    code, log = job.work(es_host="", job_id="", output_s3_prefix="")

    assert code == 1
    assert "these environment variables are missing: es_host, job_id\n" in log


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("os._exit(7)", "its process ended: exit code 7"),
        ("pass", "AttributeError: module 'task' has no attribute 'main_task'"),
    ],
)
def test_a_task_that_does_not_load_ends_in_vain_and_blames_no_file(job: Job, task: str, reason: str) -> None:
    job.write_task(task)
    job.add({"cat.jpg": b"a cat"})

    code, log = job.work()

    assert (code, job.statuses()) == (1, {"cat.jpg": "NOT_STARTED"})
    assert f"task.py cannot be loaded: {reason}" in log


def test_sigterm_gives_the_file_back_and_asks_to_be_tried_again(job: Job) -> None:
    job.write_task("def main_task(file_name):\n    open(LOG, 'a').write(f'{os.getpid()}')\n    time.sleep(600)")
    job.add({"slow": b"a cat", "waiting": b"a cat"})

    with job.start(GRACE_SECONDS="0.5") as worker:
        (main_task,) = eventually(job.calls, bool)
        worker.terminate()
        code = worker.wait(60)

    assert code == 75
    assert job.statuses() == {"slow": "NOT_STARTED", "waiting": "NOT_STARTED"}
    assert job.items()["slow"]["attempts"] == 0
    assert not psutil.pid_exists(int(main_task))
    assert job.left_behind() == []


def test_sigterm_lets_the_file_finish_that_can(job: Job) -> None:
    job.write_task(WAIT_TO_GO + ACT_AS_TOLD)
    job.add({"1": b"wait_to_go()", "2": b"2"})

    with job.start(GRACE_SECONDS="60") as worker:
        eventually(job.calls, bool)
        worker.terminate()
        job.go()
        code = worker.wait(60)

    assert (code, job.statuses()) == (75, {"1": "COMPLETED", "2": "NOT_STARTED"})


def test_main_task_ends_with_a_killed_worker(job: Job) -> None:
    job.write_task("def main_task(file_name):\n    open(LOG, 'a').write(f'{os.getpid()}')\n    time.sleep(600)")
    job.add({"slow": b"a cat"})

    with job.start() as worker:
        (main_task,) = eventually(job.calls, bool)
        worker.kill()

    eventually(lambda: psutil.pid_exists(int(main_task)), lambda exists: not exists)


def test_s3_that_stays_away_asks_to_be_tried_again(job: Job) -> None:
    job.add({"cat.jpg": b"a cat"})

    code, log = job.work(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="2")

    assert (code, job.statuses()) == (75, {"cat.jpg": "NOT_STARTED"}), log
    assert "S3 cannot be reached" in log


def test_a_file_for_which_s3_is_away_again_and_again_holds_up_no_other(job: Job) -> None:
    job.add({"1": b"a cat", "2": b"a cat"})

    codes = [job.work(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")[0] for _ in range(5)]
    code, _ = job.work()

    assert (codes, code) == ([75] * 5, 0)
    assert {key: item["error_code"] for key, item in job.items().items()} == {"1": "Unavailable", "2": ""}


def test_a_domain_that_stays_away_asks_to_be_tried_again(new_job: Callable[..., Job], fault_proxy: FaultProxy) -> None:
    job = new_job(fault_proxy.url)
    fault_proxy.refuse()

    code, log = job.work(PATIENCE_SECONDS="1")
    fault_proxy.forward()

    assert code == 75
    assert "the domain is away" in log


def test_a_domain_behind_something_that_answers_in_its_place_is_away(
    new_job: Callable[..., Job], fault_proxy: FaultProxy
) -> None:
    job = new_job(fault_proxy.url)
    fault_proxy.answer(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})

    code, log = job.work(PATIENCE_SECONDS="1")
    fault_proxy.forward()

    assert code == 75
    assert "the domain is away: its answer cannot be read" in log


def test_a_domain_that_is_away_for_a_while_is_waited_for(new_job: Callable[..., Job], fault_proxy: FaultProxy) -> None:
    job = new_job(fault_proxy.url)
    job.write_task(ACT_AS_TOLD)
    job.add({"1": b"1", "2": b"open(LOG + '.2', 'w').write('') or time.sleep(1)", "3": b"3"})

    with job.start() as worker:
        eventually(job.calls, lambda calls: len(calls) == 2)
        fault_proxy.answer(503)
        refused_from = fault_proxy.requests
        eventually(lambda: fault_proxy.requests, lambda requests: requests > refused_from + 1)
        fault_proxy.forward()
        code = worker.wait(60)

    assert code == 0, job.said()
    assert job.statuses() == {"1": "COMPLETED", "2": "COMPLETED", "3": "COMPLETED"}
    assert len(job.calls()) == 3


def test_a_change_whose_answer_was_lost_is_known_as_our_own(
    new_job: Callable[..., Job], fault_proxy: FaultProxy
) -> None:
    job = new_job(fault_proxy.url)
    job.write_task(ACT_AS_TOLD)
    job.add({"1": b"1", "2": b"2"})
    fault_proxy.drop_answers(4, lambda _method, path, _body: "/_update/" in path)

    code, log = job.work()
    fault_proxy.forward()

    assert code == 0, log
    assert job.statuses() == {"1": "COMPLETED", "2": "COMPLETED"}
    assert (job.calls(), [item["attempts"] for item in job.items().values()]) == (["1", "2"], [1, 1])
    assert "somebody else" not in log


def test_a_domain_that_refuses_the_signature_ends_in_vain(job: Job, signed_opensearch: SigningProxy) -> None:
    code, log = job.work(AWS_SECRET_ACCESS_KEY="wrong")
    signed_opensearch.reset()

    assert code == 1
    assert "the domain refuses: 403" in log


@pytest.mark.usefixtures("unrecorded")  # IAM would say no before the domain does
def test_a_missing_index_ends_in_vain(job: Job) -> None:
    code, log = job.work(es_index=f"{INDEX}-never-made")

    assert code == 1
    assert f"the domain has no index {INDEX}-never-made" in log


def test_credentials_of_the_jobs_role_are_renewed(job: Job) -> None:
    handed_out = []
    own = {name: job.environment.pop(name) for name in CREDENTIALS}

    class Role(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server's name
            handed_out.append(self.path)
            # So near to its end that botocore has to renew it with every use.
            document = {
                "AccessKeyId": own["AWS_ACCESS_KEY_ID"],
                "SecretAccessKey": own["AWS_SECRET_ACCESS_KEY"],
                "Token": own["AWS_SESSION_TOKEN"],
                "Expiration": (datetime.now(UTC) + timedelta(seconds=30)).isoformat(),
            }
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    job.write_task(LOG_THE_NAME)
    job.add({"1": b"", "2": b""})
    with ThreadingHTTPServer(("127.0.0.1", 0), Role) as role:
        Thread(target=role.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{role.server_port}/role"

        code, log = job.work(AWS_CONTAINER_CREDENTIALS_FULL_URI=url)
        role.shutdown()

    assert code == 0, log
    assert job.statuses() == {"1": "COMPLETED", "2": "COMPLETED"}
    assert len(handed_out) > 4


# --- Endpoints ---


def answers(endpoints: Endpoints, *in_turn: Response) -> None:
    left = list(in_turn)
    endpoints.answer = lambda name, body: left.pop(0) if left else Endpoints.size_of(name, body)


@pytest.mark.parametrize(
    "refused",
    [
        refusal("ModelNotReadyException", 429),
        refusal("ModelError", 424, OriginalStatusCode=500, OriginalMessage="try again"),
        refusal("ThrottlingException", 400),
        refusal("ServiceUnavailable", 503),
        refusal("InternalDependencyException", 530),
    ],
    ids=lambda refused: str(refused.headers["x-amzn-ErrorType"]),
)
def test_what_passes_by_itself_is_waited_out(job: Job, endpoints: Endpoints, refused: Response) -> None:
    answers(endpoints, refused)
    job.add({"cat.jpg": b"a cat"})

    job.work()

    assert (job.statuses(), len(endpoints.seen)) == ({"cat.jpg": "COMPLETED"}, 2)


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (500, 3)])
def test_a_model_that_cannot_take_the_file_is_its_error(
    job: Job, endpoints: Endpoints, status: int, attempts: int
) -> None:
    endpoints.answer = lambda _name, _body: refusal("ModelError", 424, OriginalStatusCode=status)
    job.add({"cat.jpg": b"a cat"})

    job.work()

    item = job.items()["cat.jpg"]
    assert (item["status"], item["error_code"], len(endpoints.seen)) == ("ERROR", "ModelError", attempts)
    assert "ModelError, said the endpoint" in item["error"]


def test_endpoints_are_reached_by_name(job: Job, endpoints: Endpoints) -> None:
    job.write_task(
        "def main_task(file_name):\n    return [invoke_endpoint('a', endpoint='reader'), invoke_endpoint(b'ab')]\n"
    )
    job.add({"cat.jpg": b"a cat"})

    job.work()

    assert job.result_of("cat.jpg") == [{"endpoint": "reader", "bytes": 1}, {"endpoint": "tagger", "bytes": 2}]


def test_an_endpoint_that_the_bot_has_not_is_named(job: Job) -> None:
    job.write_task("def main_task(file_name):\n    return invoke_endpoint(b'', endpoint='raeder')")
    job.add({"cat.jpg": b"a cat"})

    job.work()

    expected = "the bot has no endpoint 'raeder'; endpoint_name lists tagger, reader"
    assert job.items()["cat.jpg"]["error"] == expected
