"""What the kit's tests run on: a node behind its signature check, S3, an endpoint, a service that is scripted."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import boto3
import pytest
from opensearchpy import OpenSearch, RequestsHttpConnection
from requests_aws4auth import AWS4Auth

from local.aws import CREDENTIALS, JOB_ROLE, REGION, EmulatedAws, make_bucket
from local.identities import keys_of
from local.opensearch import OpenSearchNode
from local.workers import Workers
from tests.author import Kit, Recorder
from tests.proxies import SigningProxy
from tests.slices import BUCKET, INDEX, MAPPING, PREFIX, RESULTS, Endpoints, Job
from tests.support import map_roles


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    aws = EmulatedAws()
    aws.start(Workers({}, 1))
    keys = {name.lower(): value for name, value in CREDENTIALS.items()}
    s3 = boto3.client("s3", endpoint_url=aws.url, region_name=REGION, **keys)
    for bucket in (BUCKET, RESULTS):
        make_bucket(s3, bucket)
    yield aws.url
    aws.stop()


@pytest.fixture(scope="session")
def engine(node: OpenSearchNode, signed_opensearch: SigningProxy) -> Iterator[OpenSearch]:
    """The node itself, for what the platform does: it has the items' index, under its alias, and the roles."""
    map_roles(signed_opensearch.url, PREFIX)
    with OpenSearch(hosts=[node.url], timeout=60) as engine:
        engine.indices.create(index=f"{INDEX}-1", body={"aliases": {INDEX: {}}, "mappings": MAPPING})
        yield engine


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    with Endpoints().running() as endpoints:
        yield endpoints


@pytest.fixture
def new_job(
    engine: OpenSearch, signed_opensearch: SigningProxy, aws_url: str, endpoints: Endpoints, tmp_path: Path
) -> Callable[..., Job]:
    """Make a job; `domain_url` says where its workers find the domain."""
    numbers = itertools.count(1)

    def make(domain_url: str = signed_opensearch.url) -> Job:
        directory = tmp_path / str(next(numbers))
        directory.mkdir()
        return Job(engine, domain_url, aws_url, endpoints, directory)

    return make


@pytest.fixture
def job(new_job: Callable[..., Job]) -> Job:
    return new_job()


@pytest.fixture
def older_client(signed_opensearch: SigningProxy) -> Iterator[OpenSearch]:
    """What an image written elsewhere asks the domain with, as the jobs' role."""
    key, secret, token = keys_of(JOB_ROLE).values()
    auth = AWS4Auth(key, secret, REGION, "es", session_token=token)
    hosts = [signed_opensearch.url]
    with OpenSearch(hosts=hosts, http_auth=auth, connection_class=RequestsHttpConnection, timeout=60) as client:
        yield client


@pytest.fixture
def service() -> Iterator[Recorder]:
    with Recorder() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def kit(tmp_path: Path, service: Recorder) -> Kit:
    return Kit(tmp_path, service.url)
