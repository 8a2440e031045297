"""What the records' door builds on holds for the real index and for the simulated one alike."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.opensearch import Index, VersionConflictError
from tests.proxies import SigningProxy
from tests.simulation import SimulatedIndex
from tests.support import in_this_process

RESTLESS = {
    "query": {
        "bool": {
            "should": [
                {"term": {"settled": {"value": False}}},
                {"range": {"observed_at": {"lt": "2026-11-24T09:30:00Z"}}},
            ]
        }
    }
}


@pytest.fixture
def real(signed_opensearch: SigningProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with in_this_process(signed_opensearch.url, "contract", monkeypatch, function="ReconcileEndpoints"):
        yield Index("things", {"settled": {"type": "boolean"}, "observed_at": {"type": "date"}}, refresh=True)


@pytest.fixture(params=["real", "simulated"])
def index(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("real") if request.param == "real" else SimulatedIndex()


def test_versions_guard_every_write(index: Any) -> None:
    settled = {"settled": True, "observed_at": "2026-11-24T09:31:00Z"}
    created = index.create("layout", settled)
    with pytest.raises(VersionConflictError) as taken:
        index.create("layout", {"settled": False, "observed_at": None})
    replaced = index.replace("layout", settled, created.version)
    with pytest.raises(VersionConflictError) as stale:
        index.replace("layout", settled, created.version)
    with pytest.raises(VersionConflictError):
        index.delete("layout", created.version)

    assert taken.value.existing
    assert stale.value.existing
    assert taken.value.existing.version == created.version
    assert stale.value.existing.version == replaced.version == index.get("layout").version
    index.delete("layout", replaced.version)
    assert index.get("layout") is None
    with pytest.raises(VersionConflictError) as gone:
        index.replace("layout", settled, replaced.version)
    assert gone.value.existing is None


def test_what_is_not_settled_or_not_looked_at_is_found(index: Any) -> None:
    index.create("settled", {"settled": True, "observed_at": "2026-11-24T09:31:00Z"})
    index.create("moving", {"settled": False, "observed_at": "2026-11-24T09:31:00Z"})
    index.create("forgotten", {"settled": True, "observed_at": "2026-11-24T08:00:00Z"})

    assert {document.id for document in index.search(RESTLESS)} == {"moving", "forgotten"}
    assert index.get_many(["settled", "nobody"]).keys() == {"settled"}


@pytest.mark.usefixtures("real")
def test_an_index_of_an_earlier_version_is_given_the_new_fields() -> None:
    before = Index("aging", {"name": {"type": "keyword"}})
    before.create("layout", {"name": "layout"})
    after = Index("aging", {"name": {"type": "keyword"}, "since": {"type": "date"}})

    after.create("tables", {"name": "tables", "since": "2026-11-24T09:30:00Z"})

    assert after.get_many(["layout", "tables"]).keys() == {"layout", "tables"}
