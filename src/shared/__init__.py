"""Everything that the handlers share; a handler imports operations and doors from here, never another handler."""

from typing import Final

#: The product's, as pyproject.toml has it.
VERSION: Final = "0.1.0"
