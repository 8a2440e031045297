"""A job's step between its listing and its containers: which slices have work, and what each container is told."""

from typing import Any
from urllib.parse import urlsplit

from shared import clock, settings
from shared.jobs.batch import Batch
from shared.jobs.items import Items
from shared.jobs.progress import finished_files
from shared.jobs.record import Job
from shared.jobs.registry import JobRegistry

_DEFAULT_PORTS = {"https": 443, "http": 80}


def prepare_slices(job_id: str, run: int, *, jobs: JobRegistry, items: Items, batch: Batch) -> dict[str, Any]:
    """Give `{"slices": [1, …], "job_definition", "job_queue", "environment"}`, `{"slices": []}` where nothing is to do.

    Raise JobStoppedError, AwsUnavailableError, AwsRefusedError, RegistryUnavailableError.
    """
    items.refresh()
    counts = items.counts(job_id)
    job = jobs.update(job_id, lambda now: now.running(run, finished_files(counts), clock.now()))
    slices = items.slices_to_do(job_id, job.number_of_bots)
    if not slices:
        return {"slices": []}
    return {
        "slices": slices,
        "job_definition": batch.definition(job),
        "job_queue": settings.job_queue(),
        "environment": _environment(job, items),
    }


def _environment(job: Job, items: Items) -> dict[str, str]:
    """Give what every slice's container is told; the state machine adds job_id and batch_id."""
    domain = settings.opensearch()
    url = urlsplit(domain.url)
    return {
        "region_name": domain.region,
        "endpoint_name": job.endpoint_name,
        "output_s3_bucket": job.output_s3_bucket,
        "output_s3_prefix": job.output_s3_prefix,
        "es_host": url.hostname or "",
        "es_port": str(url.port or _DEFAULT_PORTS[url.scheme]),
        "es_protocol": url.scheme,
        "es_index": items.index,
    }
