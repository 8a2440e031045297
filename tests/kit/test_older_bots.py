"""An image that somebody wrote for this contract with an older client finds and updates its files as ever."""

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from tests.slices import INDEX, Job


def test_a_scroll_with_matches_and_a_partial_update_do(job: Job, older_client: OpenSearch) -> None:
    job.add({f"{number}.jpg": b"" for number in range(5)}, slices=2)
    query = {
        "query": {
            "bool": {
                "must": [
                    {"match": {"job_id": job.id}},
                    {"match": {"batch_id": 1}},
                    {"match": {"status": "NOT_STARTED"}},
                ]
            }
        }
    }

    hits = list(scan(older_client, query, index=INDEX, scroll="2m", size=2))
    for hit in hits:
        output = f"s3://results/{hit['_source']['file_key']}.json"
        done = {"status": "COMPLETED", "output": output, "confidence": 0.9, "labels": {"cat": 1}}
        older_client.update(index=INDEX, id=hit["_id"], body={"doc": done})
    older_client.indices.refresh(index=INDEX)
    left = list(scan(older_client, query, index=INDEX))

    assert sorted(hit["_source"]["file_key"] for hit in hits) == ["0.jpg", "2.jpg", "4.jpg"]
    assert left == []
    assert job.items()["0.jpg"]["confidence"] == 0.9
    assert job.statuses()["1.jpg"] == "NOT_STARTED"
