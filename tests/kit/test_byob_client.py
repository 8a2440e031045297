"""The author's kit against a recording server: what it sends, what it says, and how it ends."""

import importlib.util
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from typer.testing import CliRunner

import service as service_client
import waiting
from configuration import read_configuration
from local.template import gateway_responses
from tests.author import SCRIPT, Answer, Ended, Kit, Recorder, Seen
from words import Failure

INVOICE_READER = {"name": "invoice-reader", "file_types": ".pdf", "bot_image": "registry.example/invoice:1"}
ENDPOINT = {
    "name": "invoice-layout",
    "status": "Failed",
    "managed": True,
    "outdated": False,
    "failure": {"code": "ResourceLimitExceeded", "message": "The account may run 0 ml.m5.large."},
    "next_attempt_at": "2026-01-05 10:20:00",
    "observed_at": "2026-01-05 10:10:00",
}
SHOWN = INVOICE_READER | {"endpoints": [ENDPOINT]}
CREATING = ENDPOINT | {"status": "Creating", "failure": None, "next_attempt_at": None}
IN_SERVICE = CREATING | {"status": "InService"}
UPDATE_FAILED = IN_SERVICE | {
    "outdated": True,
    "failure": {"code": "UpdateFailed", "message": "The image does not start."},
}
PLAN = {
    "name": "invoice-reader",
    "endpoints": [
        {"name": "invoice-layout", "action": "update", "detail": "It is rolled to invoice:2."},
        {"name": "invoice-words", "action": "leave", "detail": "It is not ours."},
    ],
}
CHECKS = [
    {"subject": "/endpoint_ecr_image_path", "ok": False, "detail": "The repository has no tag 2."},
    {"subject": "/model_s3_path", "ok": True, "detail": "The model is there."},
    {"subject": "/bot_image", "ok": None, "detail": "The registry does not tell."},
]
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_SESSION_TOKEN": "token/+=",
}


def bot_with(*endpoints: Mapping[str, Any], etag: str = "") -> Answer:
    return Answer(200, INVOICE_READER | {"endpoints": list(endpoints)}, {"ETag": etag} if etag else {})


@pytest.fixture(scope="module")
def byob() -> ModuleType:
    spec = importlib.util.spec_from_file_location("byob_client", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- Registering ---


def test_without_arguments_bot_config_json_is_put_and_read_back(kit: Kit, service: Recorder) -> None:
    kit.write(INVOICE_READER)
    service.answers = [Answer(201, INVOICE_READER), Answer(200, SHOWN)]

    ended = kit.run()

    assert ended.code == 0
    assert [(seen.method, seen.path) for seen in service.seen] == [
        ("PUT", "/bots/invoice-reader"),
        ("GET", "/bots/invoice-reader"),
    ]
    assert json.loads(service.seen[0].body) == INVOICE_READER
    assert '"bot_image": "registry.example/invoice:1"' in ended.out
    assert "The account may run 0 ml.m5.large." in ended.out
    assert ended.err == "registered invoice-reader\n"


def test_a_known_bot_is_reported_as_updated(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER, "invoice.json")
    service.answers = [Answer(200, INVOICE_READER), Answer(200, SHOWN)]

    ended = kit.run("register", file, "--json")

    assert ended.err == "updated invoice-reader\n"
    assert json.loads(ended.out) == SHOWN


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        ({"bot_name": "invoice-reader"}, "/bots/invoice-reader"),
        ({"name": None, "bot_name": "invoice-reader"}, "/bots/invoice-reader"),
        ({"name": "invoice reader%é"}, "/bots/invoice%20reader%25%C3%A9"),
        ({"file_types": ".pdf"}, None),
        ({"name": 7}, None),
        ({"name": ""}, None),
        ({"name": ".."}, None),
        ({"name": "a/b"}, None),
        ({"name": "\ud800"}, None),
        (b'["invoice-reader"]', None),
        (b"[" * 100_000, None),
        (b'{"name": "invoice-reader", "bot_vcpu": ' + b"9" * 5000 + b"}", "/bots/invoice-reader"),
    ],
)
def test_the_path_comes_from_the_name_where_it_can(
    kit: Kit, configuration: bytes | dict[str, Any], path: str | None
) -> None:
    file = kit.directory / kit.write(configuration)

    assert read_configuration(file) == (file.read_bytes(), path)


@pytest.mark.parametrize(
    ("configuration", "request_line"),
    [
        ({"name": "invoice reader"}, ("PUT", "/bots/invoice%20reader")),
        ({"file_types": ".pdf"}, ("POST", "/bots")),
    ],
)
def test_what_is_wrong_with_a_configuration_is_for_the_service_to_say(
    kit: Kit, service: Recorder, configuration: dict[str, Any], request_line: tuple[str, str]
) -> None:
    file = kit.write(configuration)
    service.answers = [Answer(422, {"title": "Unprocessable Content", "status": 422, "detail": "no good"})]

    ended = kit.run("register", file)

    assert (service.seen[0].method, service.seen[0].path) == request_line
    assert service.seen[0].body == (kit.directory / file).read_bytes()
    assert (ended.code, ended.out, ended.err) == (1, "", "Error: no good\n")


def test_a_byte_order_mark_is_accepted(kit: Kit, service: Recorder) -> None:
    file = kit.write(b"\xef\xbb\xbf" + json.dumps(INVOICE_READER).encode())
    service.answers = [Answer(201, INVOICE_READER), Answer(200, SHOWN)]

    ended = kit.run("register", file)

    assert ended.code == 0
    assert service.seen[0].body.startswith(b"{")


def test_a_dash_reads_standard_input(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(201, INVOICE_READER), Answer(200, SHOWN)]

    ended = kit.run("register", "-", stdin=json.dumps(INVOICE_READER).encode())

    assert ended.err == "registered invoice-reader\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b'{\n  "name": "invoice-reader"\n  "es_url": ""}',
            "is not JSON: line 3, column 3: Expecting ',' delimiter",
        ),
        (b"", "is not JSON: line 1, column 1: Expecting value"),
        (b'{\n"bot_image": "\xc3\xa9\xff"}', "is not UTF-8 text: line 2, column 16: invalid start byte"),
        ("{}".encode("utf-16"), "is not UTF-8 text: line 1, column 1: invalid start byte"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_column(kit: Kit, content: bytes, sentence: str) -> None:
    file = kit.directory / kit.write(content)

    with pytest.raises(Failure) as failure:
        read_configuration(file)

    assert str(failure.value) == f"{file} {sentence}"


def test_a_malformed_file_is_one_sentence(kit: Kit) -> None:
    file = kit.write(b"{'name'}")

    ended = kit.run("register", file)

    sentence = "Expecting property name enclosed in double quotes"
    assert ended == Ended(1, "", f"Error: bot_config.json is not JSON: line 1, column 2: {sentence}\n")


def test_a_missing_file_is_named(kit: Kit) -> None:
    ended = kit.run()

    assert (ended.code, ended.err) == (1, "Error: cannot read bot_config.json: No such file or directory\n")


# --- Showing, listing, deleting ---


def test_list_follows_the_pages_with_its_filters(kit: Kit, service: Recorder) -> None:
    service.answers = [
        Answer(200, {"bots": [{"name": "one"}], "next_token": "a b+c/="}),
        Answer(200, {"bots": [{"name": "two"}], "next_token": None}),
    ]

    ended = kit.run("--json", "list", "--prefix", "o", "--endpoint", "e p", "--file-type", ".pdf")

    assert json.loads(ended.out) == [{"name": "one"}, {"name": "two"}]
    filters = "limit=100&name_prefix=o&endpoint_name=e%20p&file_type=.pdf"
    assert service.seen[0].path == f"/bots?{filters}"
    assert service.seen[1].path == f"/bots?{filters}&next_token=a%20b%2Bc%2F%3D"


def test_options_are_taken_before_and_after_the_command(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, SHOWN)] * 3
    elsewhere = {"BYOB_URL": "http://127.0.0.1:1"}

    before = kit.run("--json", "--url", service.url, "show", "invoice-reader", environment=elsewhere)
    after = kit.run("show", "invoice-reader", "--json", "--url", service.url, environment=elsewhere)
    later_wins = kit.run("--url", "http://x", "show", "invoice-reader", "--url", service.url, "--json")

    assert json.loads(before.out) == json.loads(after.out) == json.loads(later_wins.out) == SHOWN


def test_long_values_are_whole_where_the_output_is_piped(kit: Kit, service: Recorder) -> None:
    bot = SHOWN | {"name": "n" * 63, "bot_image": "registry.example/" + "i" * 238}
    service.answers = [Answer(200, {"bots": [bot], "next_token": None})]

    ended = kit.run("list", environment={"COLUMNS": "40"})

    row = next(line for line in ended.out.splitlines() if "nnn" in line)
    assert row.split()[0] == bot["name"]
    assert bot["bot_image"] in row.split()
    assert "invoice-layout: Failed" in row


def test_an_empty_list_is_an_empty_array(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"bots": [], "next_token": None})] * 2

    assert kit.run("list", "--json").out == "[]\n"
    assert kit.run("list") == Ended(0, "", "no bots are registered\n")


def test_delete_without_a_terminal_requires_yes(kit: Kit, service: Recorder) -> None:
    ended = kit.run("delete", "invoice-reader")

    assert ended.code == 2
    assert "--yes is required" in ended.err
    assert service.seen == []


def test_delete_with_its_endpoint(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(204)]

    ended = kit.run("delete", "invoice-reader", "--delete-endpoint", "--yes")

    assert ended == Ended(0, "", "deleted invoice-reader\n")
    assert (service.seen[0].method, service.seen[0].path) == (
        "DELETE",
        "/bots/invoice-reader?delete_endpoint=true",
    )


def test_a_delete_whose_answer_was_lost_counts_as_done(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(0, hang_up=True), Answer(404, {"detail": "no bot named 'invoice-reader'"})]

    ended = kit.run("delete", "invoice-reader", "--yes")

    assert ended.code == 0
    assert ended.err.endswith("deleted invoice-reader\n")


def test_a_name_that_leads_elsewhere_is_not_sent(kit: Kit, service: Recorder) -> None:
    ended = kit.run("delete", "..", "--yes", "--delete-endpoint")

    assert (ended.code, ended.err) == (1, "Error: no bot can be named '..'\n")
    assert service.seen == []


def test_markup_and_escape_sequences_are_shown_harmless(kit: Kit, service: Recorder) -> None:
    nasty = "[red]\x1b[2J\x9b1m\u202e:smile:\r中文"
    bot = {"name": nasty, "bot_image": nasty, "endpoints": [ENDPOINT | {"failure": {"message": nasty}}]}
    service.answers = [
        Answer(200, bot),
        Answer(200, bot),
        Answer(200, {"bots": [bot]}),
        Answer(409, {"detail": nasty}),
    ]

    ended = [kit.run("show", "x"), kit.run("show", "x", "--json"), kit.run("list"), kit.run("show", "x")]

    assert [each.code for each in ended] == [0, 0, 0, 1]
    for each in ended:
        said = each.out or each.err
        assert r"[red]\u001b[2J\u009b1m\u202e:smile:\r中文" in said
        assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(said)
    assert json.loads(ended[1].out) == bot


def test_json_stays_json_where_the_pipe_is_ascii(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"bot_image": "中文é"})]

    ended = kit.run("show", "x", "--json", environment={"PYTHONIOENCODING": "ascii"})

    assert json.loads(ended.out) == {"bot_image": "中文é"}


def test_a_closed_pipe_is_no_traceback(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"bots": [{"name": "n" * 60, "bot_image": "i" * 200}] * 1000})]

    piped = subprocess.run(
        f"'{sys.executable}' '{SCRIPT}' list | head -1",
        shell=True,
        env=kit.environment,
        capture_output=True,
        timeout=20,
        check=True,
    )

    assert piped.stderr == b""


# --- Waiting ---


QUOTA = {"code": "ResourceLimitExceeded", "message": "The account may run 0 ml.m5.large."}
LATER = "2026-01-05 10:20:00"


@pytest.mark.parametrize(
    ("endpoint", "moves"),
    [
        ({"status": "InService"}, False),
        ({"status": "InService", "managed": True, "outdated": True}, False),
        ({"status": "InService", "managed": True, "failure": QUOTA}, False),
        ({"status": "InService", "managed": True, "failure": QUOTA, "next_attempt_at": LATER}, True),
        ({"status": "Failed", "failure": QUOTA}, False),
        ({"status": "Failed", "managed": True, "failure": QUOTA, "next_attempt_at": LATER}, True),
        ({"status": "Failed", "managed": False, "failure": None}, False),
        ({"status": "Failed", "managed": True, "failure": None}, True),
        ({"status": "OutOfService"}, False),
        ({"status": "UpdateRollbackFailed", "managed": True}, False),
        ({"status": "Missing"}, True),
        ({"status": "Missing", "failure": QUOTA}, False),
        ({"status": "Missing", "failure": QUOTA, "next_attempt_at": LATER}, True),
        ({"status": "Unknown"}, True),
        ({"status": "Unknown", "failure": QUOTA}, False),
        ({"status": "Creating"}, True),
        ({"status": "Creating", "failure": QUOTA}, True),
        ({"status": "Updating"}, True),
        ({"status": "SystemUpdating", "failure": QUOTA, "next_attempt_at": LATER}, True),
        ({"status": "RollingBack"}, True),
        ({"status": "Deleting"}, True),
    ],
)
def test_an_endpoint_moves_until_sagemaker_and_the_service_are_done(endpoint: dict[str, Any], moves: bool) -> None:
    assert waiting.is_moving({"name": "invoice-layout", **endpoint}) is moves


@pytest.mark.parametrize(
    ("endpoint", "moves"),
    [
        ({"status": "InService", "managed": True, "outdated": True}, True),
        ({"status": "UpdateRollbackFailed", "managed": True}, True),
        ({"status": "InService", "managed": True}, False),
        ({"status": "InService", "managed": True, "outdated": True, "failure": QUOTA}, False),
        ({"status": "OutOfService", "managed": False}, False),
    ],
)
def test_an_endpoint_that_a_deploy_is_to_change_moves_until_it_is_as_wanted(
    endpoint: dict[str, Any], moves: bool
) -> None:
    assert waiting.is_moving({"name": "invoice-layout", **endpoint}, {"invoice-layout"}) is moves


def test_pauses_grow_to_five_seconds_and_start_small_after_a_change() -> None:
    pauses = [waiting.pause_after(3, changed=True)]
    while len(pauses) < 9:
        pauses.append(waiting.pause_after(pauses[-1], changed=False))

    assert pauses[0] == 0.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5


def test_show_waits_until_the_endpoint_is_in_service_and_tells_changes_alone(kit: Kit, service: Recorder) -> None:
    looked_at_later = CREATING | {"observed_at": "2026-01-05 10:15:00"}
    service.answers = [
        bot_with(CREATING, etag='"1.a"'),
        Answer(304),
        bot_with(looked_at_later, etag='"1.b"'),
        bot_with(IN_SERVICE, etag='"1.c"'),
    ]

    ended = kit.run("show", "invoice-reader", "--wait", "--json")

    assert ended == Ended(0, ended.out, "invoice-layout: Creating\ninvoice-layout: InService\n")
    assert json.loads(ended.out)["endpoints"] == [IN_SERVICE]
    assert [seen.headers.get("If-None-Match") for seen in service.seen] == [None, '"1.a"', '"1.a"', '"1.b"']


def test_a_failure_that_is_tried_again_is_waited_out(kit: Kit, service: Recorder) -> None:
    service.answers = [bot_with(ENDPOINT), bot_with(IN_SERVICE)]

    ended = kit.run("show", "invoice-reader", "--wait")

    assert ended.code == 0
    assert ended.err.splitlines() == [
        "invoice-layout: Failed: The account may run 0 ml.m5.large.; next attempt at 2026-01-05 10:20:00",
        "invoice-layout: InService",
    ]


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (UPDATE_FAILED, "invoice-layout: InService (outdated): The image does not start."),
        (IN_SERVICE | {"status": "OutOfService"}, "invoice-layout: OutOfService"),
    ],
)
def test_an_endpoint_that_settled_otherwise_fails_the_wait_with_its_reason(
    kit: Kit, service: Recorder, endpoint: dict[str, Any], said: str
) -> None:
    in_service = IN_SERVICE | {"name": "invoice-words"}
    service.answers = [bot_with(endpoint, in_service)]

    ended = kit.run("show", "invoice-reader", "--wait", "--json")

    assert ended.code == 1
    assert json.loads(ended.out)["endpoints"] == [endpoint, in_service]
    assert ended.err.splitlines() == [
        said,
        "invoice-words: InService",
        "Error: not all endpoints of invoice-reader are in service",
        f"  {said}",
    ]


def test_time_that_is_up_fails_the_wait(kit: Kit, service: Recorder) -> None:
    service.answers = [bot_with(CREATING)] * 9

    ended = kit.run("show", "invoice-reader", "--wait", "--timeout", "1")

    assert ended.code == 1
    assert ended.err.splitlines() == [
        "invoice-layout: Creating",
        "Error: not all endpoints of invoice-reader have settled within 1 s",
        "  invoice-layout: Creating",
    ]
    assert "invoice-layout  Creating" in ended.out
    assert 2 <= len(service.seen) <= 4


def test_a_wait_is_left_with_ctrl_c(kit: Kit, service: Recorder) -> None:
    service.answers = [bot_with(CREATING)] * 9

    with kit.start("show", "invoice-reader", "--wait") as waiting:
        assert waiting.stderr
        first = waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=10)

    assert first == b"invoice-layout: Creating\n"
    assert (waiting.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_on_a_terminal_the_states_are_shown_in_place(kit: Kit, service: Recorder) -> None:
    nasty = CREATING | {"failure": {"code": "Throttled", "message": "slow\x1b[5Zdown"}}
    service.answers = [bot_with(nasty), bot_with(IN_SERVICE)]
    terminal, stderr = pty.openpty()

    with kit.start("show", "invoice-reader", "--wait", "--json", stderr=stderr) as waiting:
        os.close(stderr)
        shown = b""
        try:
            while chunk := os.read(terminal, 4096):
                shown += chunk
        except OSError:
            """EIO: the other end is closed."""
        finally:
            os.close(terminal)
        out, _ = waiting.communicate(timeout=10)

    assert waiting.returncode == 0
    assert json.loads(out)["endpoints"] == [IN_SERVICE]
    assert rb"Creating: slow\u001b[5Zdown" in shown
    assert b"\x1b[5Z" not in shown
    assert b"of 1800 s; Ctrl-C leaves" in shown
    assert b"\x1b[2K" in shown  # erased in place
    assert shown.endswith(b"\x1b[2K")  # and gone at the end
    assert b"\x1b[?25h" in shown  # the cursor is back


def test_register_waits_for_the_endpoints_of_what_it_registered(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER)
    service.answers = [Answer(201, INVOICE_READER), bot_with(IN_SERVICE)]

    ended = kit.run("register", file, "--wait", "--json")

    assert ended.code == 0
    assert json.loads(ended.out)["endpoints"] == [IN_SERVICE]
    assert ended.err == "registered invoice-reader\ninvoice-layout: InService\n"


# --- Deploying, rehearsing ---


def test_deploy_prints_what_is_done_to_each_endpoint(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, PLAN)] * 2

    table = kit.run("deploy", "invoice-reader")
    document = kit.run("deploy", "invoice-reader", "--json")

    assert [(seen.method, seen.path, seen.body) for seen in service.seen] == [
        ("POST", "/bots/invoice-reader/deploy", b"")
    ] * 2
    assert (table.code, table.err) == (document.code, document.err) == (0, "")
    assert [line.split(maxsplit=2) for line in table.out.splitlines()] == [
        ["Endpoint", "Action", "Detail".ljust(26)],
        ["invoice-layout", "update", "It is rolled to invoice:2."],
        ["invoice-words", "leave", "It is not ours.".ljust(26)],
    ]
    assert json.loads(document.out) == PLAN


def test_deploy_waits_past_the_state_from_before_the_update(kit: Kit, service: Recorder) -> None:
    words = IN_SERVICE | {"name": "invoice-words", "managed": False}
    outdated = IN_SERVICE | {"outdated": True}
    service.answers = [Answer(202, PLAN), bot_with(outdated, words), bot_with(IN_SERVICE, words)]

    ended = kit.run("deploy", "invoice-reader", "--wait", "--json")

    assert ended.code == 0
    assert json.loads(ended.out)["endpoints"] == [IN_SERVICE, words]
    assert ended.err.splitlines() == [
        "invoice-layout: update: It is rolled to invoice:2.",
        "invoice-words: leave: It is not ours.",
        "invoice-layout: InService (outdated)",
        "invoice-words: InService",
        "invoice-layout: InService",
    ]


def test_a_rehearsed_deploy_prints_its_checks_and_fails_with_them(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, PLAN | {"checks": CHECKS})]

    ended = kit.run("deploy", "invoice-reader", "--validate-only")

    assert ended.code == 1
    assert service.seen[0].path == "/bots/invoice-reader/deploy?validate_only=true"
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert rows[1] == "invoice-layout update It is rolled to invoice:2."
    assert rows[-3:] == [
        "endpoint_ecr_image_path wrong The repository has no tag 2.",
        "model_s3_path ok The model is there.",
        "bot_image could not be checked The registry does not tell.",
    ]
    assert ended.err.splitlines() == [
        "Error: 1 of 3 checks found something wrong",
        "  endpoint_ecr_image_path: The repository has no tag 2.",
    ]


@pytest.mark.parametrize(
    ("configuration", "request_line", "would", "said"),
    [
        (INVOICE_READER, ("PUT", "/bots/invoice-reader?validate_only=true"), "create", "would create invoice-reader"),
        ({"name": "a/b"}, ("POST", "/bots?validate_only=true"), "nothing", "would change nothing in invoice-reader"),
    ],
)
def test_a_rehearsed_registration_says_what_would_be_done(
    kit: Kit,
    service: Recorder,
    configuration: dict[str, Any],
    request_line: tuple[str, str],
    would: str,
    said: str,
) -> None:
    file = kit.write(configuration)
    rehearsal = PLAN | {"would": would, "checks": CHECKS[1:]}
    service.answers = [Answer(200, rehearsal)]

    ended = kit.run("register", file, "--validate-only", "--json")

    assert (ended.code, ended.err) == (0, f"{said}\n")
    assert [(seen.method, seen.path) for seen in service.seen] == [request_line]
    assert json.loads(service.seen[0].body) == configuration
    assert json.loads(ended.out) == rehearsal


# --- Listing endpoints ---


def test_endpoints_follows_the_pages(kit: Kit, service: Recorder) -> None:
    service.answers = [
        Answer(200, {"endpoints": [{"name": "one"}], "next_token": "a+b"}),
        Answer(200, {"endpoints": [{"name": "two"}], "next_token": None}),
    ]

    ended = kit.run("endpoints", "--unused", "--json")

    assert json.loads(ended.out) == [{"name": "one"}, {"name": "two"}]
    assert [seen.path for seen in service.seen] == [
        "/endpoints?limit=100&unused=true",
        "/endpoints?limit=100&unused=true&next_token=a%2Bb",
    ]


def test_endpoints_are_a_table_with_the_bots_that_name_them(kit: Kit, service: Recorder) -> None:
    listed = {"since": "2026-01-05T10:10:00Z", "instance_type": "ml.m5.large"}
    failure = {"code": "ResourceLimitExceeded", "message": "Too many."}
    used = ENDPOINT | listed | {"bots": ["invoice-reader", "receipt-reader"], "failure": failure}
    unused = IN_SERVICE | listed | {"name": "invoice-words", "managed": False, "bots": []}
    service.answers = [Answer(200, {"endpoints": [used, unused], "next_token": None})]

    ended = kit.run("endpoints")

    assert service.seen[0].path == "/endpoints?limit=100"
    assert [" ".join(line.split()) for line in ended.out.splitlines()] == [
        "Endpoint Status Managed Since Instance type Bots Failure",
        "invoice-layout Failed yes 2026-01-05T10:10:00Z ml.m5.large invoice-reader, receipt-reader Too many.",
        "invoice-words InService no 2026-01-05T10:10:00Z ml.m5.large unused -",
    ]


def test_no_endpoints_are_said_in_words(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"endpoints": [], "next_token": None})]

    assert kit.run("endpoints", "--unused") == Ended(0, "", "no endpoint is unused\n")


# --- Failing ---


def test_a_problem_is_shown_with_a_line_for_each_error(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER)
    errors = [
        {"pointer": "/endpoint_name", "detail": "is required"},
        {"pointer": "/a~1b", "detail": "is not known"},
        {"pointer": "", "detail": "too many endpoints"},
    ]
    problem = {
        "title": "Unprocessable Content",
        "detail": "3 things are wrong",
        "request_id": "r-1",
        "errors": errors,
    }
    service.answers = [Answer(422, problem, {"Content-Type": "application/problem+json"})]

    ended = kit.run("register", file)

    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.splitlines() == [
        "Error: 3 things are wrong",
        "  endpoint_name: is required",
        "  a/b: is not known",
        "  too many endpoints",
    ]


def test_the_request_id_is_shown_with_a_failure_of_the_service(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(500, {"detail": "something went wrong", "request_id": "r-1"})]

    ended = kit.run("show", "invoice-reader")

    assert ended.err.splitlines() == ["Error: something went wrong", "  request id: r-1"]


def test_a_gateway_that_forbids_brings_the_hint_to_sign(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(403, {"message": "Forbidden"}), Answer(403, {"Message": "Not for you"})]

    unsigned = kit.run("list")
    signed = kit.run("list", "--sign", "--region", "eu-west-1", environment=KEYS)

    assert unsigned.code == signed.code == 1
    assert unsigned.err.startswith("Error: Forbidden\n")
    assert "try --sign" in unsigned.err
    assert signed.err.startswith("Error: Not for you\n")
    assert "signed with your AWS credentials" in signed.err


def refused_by_the_gateway(kind: str, headers: Mapping[str, str] | None = None, **message: str) -> Answer:
    """What the template has API Gateway answer by itself."""
    response = gateway_responses()[kind]
    body = response.body.replace("$context.error.messageString", json.dumps(message.get("message")))
    return Answer(response.status or 0, json.loads(body), {**response.headers, **(headers or {})})


def test_an_unsigned_call_is_told_both_causes_and_how_to_sign(kit: Kit, service: Recorder) -> None:
    service.answers = [refused_by_the_gateway("MISSING_AUTHENTICATION_TOKEN")]

    ended = kit.run("list")

    assert ended == Ended(
        1,
        "",
        "Error: the request is not signed with AWS credentials, or this API has no such path\n"
        "  the service may want AWS credentials: try --sign, with --profile if you use one\n",
    )


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("MISSING_AUTHENTICATION_TOKEN", "the request was signed, so the service has no such path: check the URL"),
        ("ACCESS_DENIED", "ask for that right, name another profile"),
        ("EXPIRED_TOKEN", "log in again, or name another profile"),
        ("INVALID_SIGNATURE", "check the secret key of your profile, and the region"),
    ],
)
def test_a_signed_call_that_is_refused_is_told_what_to_do(kit: Kit, service: Recorder, kind: str, advice: str) -> None:
    service.answers = [refused_by_the_gateway(kind, message="User: me is not authorized")]

    ended = kit.run("list", "--sign", "--region", "eu-west-1", environment=KEYS)

    assert ended.err.splitlines()[-1].startswith(f"  {advice}")
    assert "--sign" not in ended.err
    assert ("API Gateway says: User: me is not authorized" in ended.err) is (kind == "ACCESS_DENIED")


def test_a_clock_that_is_off_is_named_as_the_cause(kit: Kit, service: Recorder) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(minutes=11, seconds=30), usegmt=True)
    service.answers = [refused_by_the_gateway("INVALID_SIGNATURE", {"Date": later})]

    ended = kit.run("list", "--sign", "--region", "eu-west-1", environment=KEYS)

    assert ended.err.splitlines()[-1] == "  this machine's clock is 11 minutes off from the service's: set it"


def test_what_the_web_acl_stops_is_not_said_to_want_a_signature(kit: Kit, service: Recorder) -> None:
    service.answers = [refused_by_the_gateway("WAF_FILTERED")]

    ended = kit.run("list")

    assert ended.err.splitlines() == [
        "Error: the web ACL stopped the request: its body is larger than 64 KiB, or too many came from its address"
    ]


def test_retry_after_is_waited_for_and_said(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(503, {"detail": "busy"}, {"Retry-After": "1"}), Answer(200, SHOWN)]

    ended = kit.run("show", "invoice-reader", "--json")

    assert ended == Ended(0, ended.out, "the service answered 503; trying again in 1 s\n")
    assert json.loads(ended.out) == SHOWN


def test_a_pause_that_is_too_long_is_left_to_the_author(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(503, {"detail": "the registry is away"}, {"Retry-After": "3600"})]

    ended = kit.run("show", "invoice-reader")

    assert ended.code == 1
    assert ended.err.splitlines() == [
        "Error: the registry is away",
        "  the service asks to try again in 3600 s",
    ]


def test_a_lost_connection_is_tried_again(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER)
    service.answers = [Answer(0, hang_up=True), Answer(201, INVOICE_READER), Answer(200, SHOWN)]

    ended = kit.run("register", file)

    assert ended.code == 0
    assert ended.err == "the connection was lost; trying again at once\nregistered invoice-reader\n"


def test_nobody_at_the_address_is_one_sentence(kit: Kit) -> None:
    ended = kit.run("list", environment={"BYOB_URL": "http://127.0.0.1:1"})

    assert ended.code == 1
    why = "cannot reach http://127.0.0.1:1 (Connection refused)"
    assert ended.err == f"Error: {why}: say where the service is with --url or BYOB_URL\n"


def test_a_redirect_is_not_followed(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER)
    service.answers = [Answer(301, headers={"Location": "https://elsewhere.example/"})]

    ended = kit.run("register", file)

    assert ended.code == 1
    assert "moved to https://elsewhere.example/" in ended.err


def test_another_kind_of_server_is_recognised(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, "<html>")]

    ended = kit.run("list")

    assert ended.code == 1
    assert "not as Bring Your Own Bot does" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("lst",),
        ("show",),
        ("list", "--nope"),
        ("list", "--url", "localhost:3000"),
        ("list", "--url", "http://["),
        ("show", "invoice-reader", "--wait", "--timeout", "-1"),
        ("deploy", "invoice-reader", "--wait", "--validate-only"),
        ("register", "bot_config.json", "--wait", "--validate-only"),
    ],
)
def test_wrong_usage_ends_with_2(byob: ModuleType, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(byob.app, arguments).exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        (),
        *[(name,) for name in ("register", "show", "deploy", "list", "endpoints", "delete")],
        *[(name,) for name in ("init", "check", "run", "jobs", "job", "cancel", "retry")],
    ],
)
def test_help_shows_an_example(byob: ModuleType, command: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(byob.app, [*command, "--help"])

    assert ended.exit_code == 0
    assert f"\n    python3 byob.py {' '.join(command)}".rstrip() in ended.stdout
    assert "--json" in ended.stdout


# --- Signing ---


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("abc123.execute-api.eu-west-1.amazonaws.com", "eu-west-1"),
        ("abc123.execute-api.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"),
        ("abc123-vpce-0a1b.execute-api.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0a1b-c2d3.execute-api.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("vpce-0a1b-c2d3.execute-api.cn-north-1.vpce.amazonaws.com.cn", "cn-north-1"),
        ("127.0.0.1", None),
        ("bots.example.com", None),
        ("execute-api.eu-west-1.amazonaws.com.example.com", None),
        ("abc123.execute-api.eu-west-1.amazonawsxcom", None),
        ("search-bots.eu-west-1.es.amazonaws.com", None),
    ],
)
def test_a_host_of_api_gateway_tells_the_region(host: str, region: str | None) -> None:
    assert service_client.region_of(host) == region


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with credentials, a profile `reading`, and no region."""
    (tmp_path / "config").write_text("[profile reading]\nregion = eu-south-1\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


@pytest.mark.parametrize(
    ("in_host", "options", "environment", "region"),
    [
        ("eu-north-1", {"region": "eu-west-1"}, {"AWS_REGION": "eu-west-2"}, "eu-north-1"),
        (None, {"region": "eu-west-1"}, {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        (None, {}, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        (None, {}, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        (None, {}, {"AWS_PROFILE": "reading"}, "eu-south-1"),
    ],
)
def test_the_region_is_looked_for_as_the_aws_tools_do(  # fixtures and parameters
    aws: pytest.MonkeyPatch,
    in_host: str | None,
    options: dict[str, Any],
    environment: dict[str, str],
    region: str,
) -> None:
    for name, value in environment.items():
        aws.setenv(name, value)

    signer: Any = service_client.signer(in_host, service_client.Options(**options))

    assert (signer.region, signer.service) == (region, "execute-api")


def test_signatures_are_those_of_botocore(kit: Kit, service: Recorder) -> None:
    file = kit.write(INVOICE_READER | {"name": "invoice reader"})
    service.answers = [Answer(201, INVOICE_READER), Answer(200, SHOWN), Answer(200, {"bots": []})]
    environment = KEYS | {"AWS_REGION": "eu-west-2"}

    registered = kit.run("register", file, "--sign", environment=environment)
    listed = kit.run("list", "--prefix", "a b+c/~=&é", "--sign", environment=environment)

    assert (registered.code, listed.code) == (0, 0)
    assert len(service.seen) == 3
    for seen in service.seen:
        assert seen.headers["x-amz-security-token"] == KEYS["AWS_SESSION_TOKEN"]
        assert seen.headers["Authorization"] == signed_by_botocore(seen, "eu-west-2")


def signed_by_botocore(seen: Seen, region: str) -> str:
    """The Authorization that botocore gives the same request at the same moment, over the same headers."""
    authorization = seen.headers["Authorization"].replace(",", "").split()
    names = next(part for part in authorization if part.startswith("SignedHeaders="))
    headers = {name.lower(): value for name, value in seen.headers.items()}
    signed = {name: headers[name] for name in names.removeprefix("SignedHeaders=").split(";")}
    request = AWSRequest(seen.method, f"http://{signed['host']}{seen.path}", headers=signed, data=seen.body)
    request.context["timestamp"] = signed["x-amz-date"]
    signer = SigV4Auth(
        Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["AWS_SESSION_TOKEN"]),
        "execute-api",
        region,
    )
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, {names}, Signature={signature}"


def test_a_local_service_is_not_signed_for(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"bots": []})]

    kit.run("list", environment=KEYS | {"AWS_REGION": "eu-west-1"})

    assert "Authorization" not in service.seen[0].headers


def test_an_execute_api_host_wants_credentials_unasked(kit: Kit) -> None:
    ended = kit.run("list", "--url", "https://abc123.execute-api.eu-west-1.amazonaws.com/prod")

    assert ended.code == 1
    assert ended.err.startswith("Error: no AWS credentials to sign with")


def test_what_signing_lacks_is_one_sentence(kit: Kit) -> None:
    no_region = kit.run("list", "--sign", environment=KEYS)
    no_profile = kit.run("list", "--sign", "--profile", "nobody")

    assert no_region.err == "Error: no AWS region to sign for: name one (--region, AWS_REGION)\n"
    assert no_profile.err == "Error: cannot sign: The config profile (nobody) could not be found\n"


def test_botocore_is_loaded_for_signing_only(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, {"bots": []})]

    ended = kit.run("list", environment={"PYTHONPROFILEIMPORTTIME": "1"})

    assert ended.code == 0
    assert "urllib3" in ended.err
    assert "botocore" not in ended.err
