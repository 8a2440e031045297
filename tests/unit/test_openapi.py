import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from local import openapi
from local.demo import KIT
from shared.bots.config import BotConfig
from shared.errors import InvalidConfigurationError

SAMPLE: dict[str, Any] = json.loads((KIT / "bot_config.json").read_text())


def test_the_document_is_that_of_the_code() -> None:
    assert openapi.DOCUMENT.read_text() == openapi.rendered(), "stale: run `make openapi`"


def test_the_document_is_openapi_3_1() -> None:
    validate(openapi.document())


def test_every_link_leads_to_a_call_that_takes_its_parameter() -> None:
    document: dict[str, Any] = openapi.document()
    calls = {call["operationId"]: call for path in document["paths"].values() for call in path.values()}

    links = [
        link
        for call in calls.values()
        for response in call["responses"].values()
        for link in response.get("links", {}).values()
    ]

    assert {link["operationId"] for link in links} >= {"get_bot", "update_bot", "delete_bot", "get_job", "cancel_job"}
    for link in links:
        assert set(link["parameters"]) <= {parameter["name"] for parameter in calls[link["operationId"]]["parameters"]}


def test_the_sample_keeps_the_documents_rules() -> None:
    assert is_documented({})


@pytest.mark.parametrize(
    "changes",
    [
        {"file_types": [".jpg", ".png"], "bot_vcpu": " 2 ", "bot_mem": None},
        {
            "endpoint_name": "a , B-2",
            "instance_type": "ml.m5.large,ml.g4dn.xlarge",
            "endpoint_ecr_image_path": "a:1, b:1",
        },
        {"endpoint_name": "a,b", "endpoint_ecr_image_path": ",b:1", "model_s3_path": "s3://models/a b.tar.gz, "},
        {"es_url": "", "model_s3_path": "", "bot_image_cmd": None},
    ],
)
def test_what_the_service_takes_the_document_takes(changes: dict[str, Any]) -> None:
    BotConfig.from_json({**SAMPLE, **changes})

    assert is_documented(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"file_types": ".jpg,,.png"},
        {"file_types": [".jpg", "png"]},
        {"bot_image": "an\x1bimage"},
        {"endpoint_name": "layout-"},
        {"endpoint_ecr_image_path": "an image"},
        {"instance_type": "m5.large"},
        {"model_s3_path": "https://models/a"},
        {"es_url": "a\nb"},
        {"bot_vcpu": "two"},
    ],
)
def test_what_the_document_refuses_the_service_refuses(changes: dict[str, Any]) -> None:
    assert not is_documented(changes)
    with pytest.raises(InvalidConfigurationError):
        BotConfig.from_json({**SAMPLE, **changes})


def is_documented(changes: dict[str, Any]) -> bool:
    """Tell whether the document takes the sample with these changes."""
    schema = {**openapi.document(), "$ref": "#/components/schemas/BotConfig"}
    return Draft202012Validator(schema).is_valid({**SAMPLE, **changes})
