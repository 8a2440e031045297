"""Names, lengths and states are those of the SageMaker API's own model."""

import re

import botocore.session
import pytest

from shared.bots import config
from shared.endpoints.record import MOVING, Status

MODEL = botocore.session.Session().get_service_model("sagemaker")
OURS = {Status.MISSING, Status.UNKNOWN}


def test_the_states_are_sagemakers_and_two_of_ours() -> None:
    assert set(MODEL.shape_for("EndpointStatus").enum) == {status.value for status in set(Status) - OURS}
    assert set(Status) - OURS > MOVING


@pytest.mark.parametrize(
    ("shape", "maximum"), [("ContainerImage", config.IMAGE_MAX_LENGTH), ("Url", config.MODEL_URL_MAX_LENGTH)]
)
def test_lengths_are_sagemakers(shape: str, maximum: int) -> None:
    assert MODEL.shape_for(shape).metadata["max"] == maximum


def test_endpoint_names_are_sagemakers() -> None:
    metadata = MODEL.shape_for("EndpointName").metadata

    assert (metadata["pattern"], metadata["max"]) == (f"{config.ENDPOINT_NAME_PATTERN}", 63)
    assert MODEL.shape_for("ModelName").metadata["max"] == 63
    assert MODEL.shape_for("EndpointConfigName").metadata["max"] == 63


def test_every_instance_type_of_sagemaker_has_the_form() -> None:
    types = MODEL.shape_for("ProductionVariantInstanceType").enum

    assert [kind for kind in types if not re.fullmatch(config.INSTANCE_TYPE_PATTERN, kind)] == []
