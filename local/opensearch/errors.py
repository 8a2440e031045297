"""What can go wrong with a local node, as one class whose message is meant for the person at the terminal."""


class NodeError(RuntimeError):
    """Raised when the node cannot be prepared, started or asked; the message says why and what to do."""
