"""What pydantic found wrong with a document, in our words: a pointer to the field and what would be right."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError

from shared.errors import Violation


def violations(
    error: ValidationError, *, of: str, fields: Iterable[str], rules: Mapping[str, str] | None = None
) -> Iterator[Violation]:
    """Give a violation for each error: `of` what the document is, of which it has `fields`.

    `rules`: what is right for a field, where pydantic finds something else than our validators do.
    """
    for found in error.errors(include_url=False, include_input=False):
        field = str(found["loc"][0])
        match found["type"]:
            case "value_error":
                detail = str(found["ctx"]["error"])
            case "extra_forbidden":
                near = difflib.get_close_matches(field, list(fields), n=1)
                detail = f"is not a field of {of}" + (f"; did you mean {near[0]}?" if near else "")
            case "string_type":
                detail = "must be a string"
            case "string_too_long":
                detail = f"must have at most {found['ctx']['max_length']} characters"
            case _:
                detail = (rules or {}).get(field) or found["msg"]
        yield Violation("/" + field.replace("~", "~0").replace("/", "~1"), detail)
