"""The whole cloud on one machine: a real OpenSearch node, emulated AWS, and a gateway before the real handlers."""
