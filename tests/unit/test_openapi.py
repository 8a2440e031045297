import json
from typing import Any

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from local import openapi
from local.demo import KIT


def test_the_document_is_that_of_the_code() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.rendered(), "stale: run `make openapi`"


def test_the_document_is_openapi_3_1() -> None:
    validate(openapi.document())


def test_the_sample_keeps_the_documents_rules() -> None:
    document: dict[str, Any] = openapi.document()
    schema = {**document, "$ref": "#/components/schemas/BotConfig"}

    Draft202012Validator(schema).validate(json.loads((KIT / "bot_config.json").read_text()))
