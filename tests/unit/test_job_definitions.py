"""What the job definitions of bots are called in Batch."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest

from local.aws import EmulatedAws
from local.identities import keys_of
from local.stack import environment_of
from local.workers import Workers
from shared.jobs.batch import Batch
from shared.jobs.record import Job
from tests.support import forget_settings

pytestmark = pytest.mark.usefixtures("unrecorded")  # the names are another stack's
#: As the template gives it: byob- and the UUID of the stack.
PREFIX = "byob-0b0f6c2e-3b5c-4a55-b1a5-6f0c8f9d3c11"
REQUEST = {
    "bot_name": "",
    "s3_bucket": "media",
    "s3_path": "",
    "output_s3_bucket": "tags",
    "output_s3_prefix": "",
    "number_of_bots": 1,
    "bulk_size": 500,
}
BOT = {
    "file_types": ".jpg",
    "bot_image": "invoice-reader:7",
    "bot_image_cmd": "",
    "bot_vcpu": "",
    "bot_mem": "",
    "endpoint_name": "invoice-layout",
}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    aws = EmulatedAws(program=[sys.executable])
    aws.start(cast(Workers, None))
    yield aws
    aws.stop()


@pytest.fixture(params=[PREFIX, "p" * 100])
def prefix(request: pytest.FixtureRequest, aws: EmulatedAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What the names begin with, also where it leaves little room for the bot's."""
    prefix = str(request.param)
    environment = {**environment_of("", aws.url), **keys_of("PrepareSlicesRole"), "JOB_DEFINITION_PREFIX": prefix}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    yield prefix
    forget_settings()


def name_of(bot_name: str, image: str = "invoice-reader:7") -> str:
    """Register the definition of a bot's job; give its name."""
    job = Job.new(
        "46e72e78e17e45208a473280bf03e15b",
        {**REQUEST, "bot_name": bot_name},
        {**BOT, "bot_image": image},
        datetime.now(UTC),
    )
    return Batch().definition(job).rpartition("/")[2].partition(":")[0]


def test_bots_have_definitions_of_their_own(prefix: str) -> None:
    names = [
        *(name_of(bot) for bot in ("reader", "Reader", "r" * 62 + "a", "r" * 62 + "b", "r" * 63)),
        name_of("reader", "invoice-reader:8"),
    ]

    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        # AWS Batch API, RegisterJobDefinition: jobDefinitionName.
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", name)
        assert name.startswith(f"{prefix}-")


def test_the_same_definition_is_registered_once(prefix: str) -> None:
    assert name_of("reader") == name_of("reader")
