"""Which files a node is made of: each by its path in a Maven repository, with the hash that it must have."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

# In the format of sha256sum, so that it can be checked by hand. Written by `python -m local.opensearch --write-hashes`.
RECORD: Final = Path(__file__).with_name("jars.sha256")


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar: `path` as in org/opensearch/opensearch/2.19.3/opensearch-2.19.3.jar, `sha256` in hexadecimal.

    A plugin comes as a zip of jars, which only a node that has it needs.
    """

    path: PurePosixPath
    sha256: str

    @property
    def name(self) -> str:
        """The file's name, which no other jar of the record has."""
        return self.path.name

    @property
    def is_plugin(self) -> bool:
        """Whether it is the zip of a plugin."""
        return self.path.suffix == ".zip"

    @property
    def coordinate(self) -> str:
        """The Maven coordinate, group:artifact:version, in jgo's form with the packaging where it is no jar."""
        *group, artifact, version, _ = self.path.parts
        return f"{'.'.join(group)}:{artifact}:{version}" + "::zip" * self.is_plugin


def recorded() -> tuple[Jar, ...]:
    """Give the jars of the committed record, in its order."""
    lines = (line.split() for line in RECORD.read_text().splitlines())
    return tuple(Jar(PurePosixPath(path), sha256) for sha256, path in lines)


def sha256_of(file: Path) -> str:
    """Give the file's SHA-256 in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
