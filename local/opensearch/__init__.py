"""A real OpenSearch node on this machine, made from Python packages alone: no Docker, no Java to install."""

from local.opensearch.errors import NodeError
from local.opensearch.node import DEFAULT_CACHE, OpenSearchNode

__all__ = ["DEFAULT_CACHE", "NodeError", "OpenSearchNode"]
