"""What S3's refusals of a bucket become for the job's owner: answers as S3 gives them (S3 API, "Error responses")."""

from collections.abc import Iterator

import pytest

from benchmarks.lister import Lister, Refusal
from local.aws import CREDENTIALS
from shared.errors import JobCannotRunError
from shared.jobs.objects import Objects

REGION = {"x-amz-bucket-region": "eu-west-1"}
ELSEWHERE = {
    "moved": Refusal(301, "<Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message>", REGION),
    "wrongly signed": Refusal(
        400,
        "<Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'"
        "</Message><Region>eu-west-1</Region>",
        {},
    ),
    "denied there": Refusal(403, "<Code>AccessDenied</Code><Message>Access Denied</Message>", REGION),
}
UNNAMED = {
    "an opt-in region": Refusal(
        400,
        "<Code>IllegalLocationConstraintException</Code><Message>The me-south-1 location constraint is incompatible "
        "for the region specific endpoint this request was sent to.</Message>",
        {},
    ),
    "moved": Refusal(301, "<Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message>", {}),
}


@pytest.fixture
def lister(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lister]:
    with Lister(["a.jpg"]) as lister:
        keys = {**CREDENTIALS, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": lister.url}
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        yield lister


@pytest.mark.parametrize("refusal", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_the_region_of_a_bucket_is_told_where_s3_tells_it(lister: Lister, refusal: Refusal) -> None:
    lister.refusals["media"] = refusal

    with pytest.raises(JobCannotRunError, match="bucket 'media' is in eu-west-1, and jobs run in us-east-1 alone: "):
        Objects().page("media", "", "")


@pytest.mark.parametrize("refusal", UNNAMED.values(), ids=UNNAMED.keys())
def test_a_bucket_elsewhere_is_told_where_s3_does_not_say_where(lister: Lister, refusal: Refusal) -> None:
    lister.refusals["media"] = refusal

    with pytest.raises(JobCannotRunError, match="bucket 'media' is in another region, and jobs run in us-east-1 alone"):
        Objects().page("media", "", "")


@pytest.mark.parametrize("status", [301, 400, 403])
def test_the_output_buckets_region_is_looked_at_before_anything_is_listed(lister: Lister, status: int) -> None:
    lister.refusals["tags"] = Refusal(status, "", REGION)

    with pytest.raises(JobCannotRunError, match="bucket 'tags' is in eu-west-1, and jobs run in us-east-1 alone"):
        Objects().require_bucket("tags")


def test_an_output_bucket_that_may_not_be_listed_may_be_written(lister: Lister) -> None:
    lister.refusals["tags"] = Refusal(403, "", {"x-amz-bucket-region": "us-east-1"})

    Objects().require_bucket("tags")
