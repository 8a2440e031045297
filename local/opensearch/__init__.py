"""A real OpenSearch node on this machine, made from Python packages alone: no Docker, no Java to install."""

from local.opensearch.errors import NodeError
from local.opensearch.node import DEFAULT_CACHE, SNAPSHOT_REPOSITORY, OpenSearchNode

__all__ = ["DEFAULT_CACHE", "SNAPSHOT_REPOSITORY", "NodeError", "OpenSearchNode"]
