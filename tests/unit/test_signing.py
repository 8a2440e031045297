"""Requests to OpenSearch are signed as requests-aws4auth signs them, by whatever shorter way."""

from types import SimpleNamespace

import pytest
from requests.structures import CaseInsensitiveDict
from requests_aws4auth import AWS4Auth

from local.aws import CREDENTIALS
from local.stack import environment_of
from shared import opensearch
from tests.support import forget_settings


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:9200", "127.0.0.1:9200"),
        ("https://vpc-bots.eu-west-1.es.amazonaws.com", "vpc-bots.eu-west-1.es.amazonaws.com"),
        ("https://vpc-bots.eu-west-1.es.amazonaws.com:443", "vpc-bots.eu-west-1.es.amazonaws.com"),
    ],
)
@pytest.mark.parametrize("path", ["/byob-bots/_doc/invoice-reader", "/byob-bots/_search?a=1&b=%2F"])
@pytest.mark.parametrize("body", [None, b'{"query":{}}'])
def test_a_signature_is_that_of_the_library(
    url: str, host: str, path: str, body: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment_of(url, ""), **CREDENTIALS}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    key, secret, token = CREDENTIALS.values()

    ours = opensearch._signer("eu-west-1")("POST", url + path, body)

    forget_settings()
    theirs: CaseInsensitiveDict[str] = CaseInsensitiveDict({"x-amz-date": ours["x-amz-date"]})
    AWS4Auth(key, secret, "eu-west-1", "es", session_token=token)(
        SimpleNamespace(method="POST", url=url + path, body=body, headers=theirs)
    )
    assert ours["host"] == host
    assert dict(theirs) | {"host": host} == dict(ours)
