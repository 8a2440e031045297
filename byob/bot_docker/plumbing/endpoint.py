"""Calls the bot's SageMaker endpoints, for main_task."""

import json
import time
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from plumbing.contract import endpoint_names, patience_seconds, region_name, retries
from plumbing.patience import pauses

# SageMaker Runtime API, InvokeEndpoint: a model may take 60 s, "the SDK socket timeout should be set to be 70 seconds".
_READ_SECONDS = 70
# What passes by itself, and what botocore's own retries leave alone.
_NOT_READY = {"ModelNotReadyException", "InternalDependencyException", "ThrottlingException", "ServiceUnavailable"}
_MODEL_ATTEMPTS = 3  # a model that answers 5xx again and again does so for this file


def invoke_endpoint(
    body: bytes | str,
    *,
    endpoint: str = "",
    content_type: str = "application/octet-stream",
    accept: str = "application/json",
    **parameters: Any,
) -> Any:
    """Send `body` to an endpoint and give its answer: JSON as values, other text as text, all else as bytes.

    `endpoint` names one of the bot's endpoints; without it, the first. `parameters` are further ones of InvokeEndpoint,
    such as TargetModel. A model that is being loaded, throttling and faults of the service are waited out for two
    minutes (PATIENCE_SECONDS); botocore's ClientError is raised for what remains, ValueError for an unknown name.
    """
    name = _name_of(endpoint)
    for attempt, pause in enumerate(pauses(patience_seconds()), start=1):
        try:
            answer = _client().invoke_endpoint(
                EndpointName=name, Body=body, ContentType=content_type, Accept=accept, **parameters
            )
            return _content(answer["Body"].read())
        except ClientError as error:
            if not _passes(error, attempt):
                raise
            last = error
        time.sleep(pause)
    raise last


def _name_of(endpoint: str) -> str:
    names = endpoint_names()
    if not names:
        raise ValueError("the bot has no endpoint: endpoint_name is empty")
    if endpoint and endpoint not in names:
        raise ValueError(f"the bot has no endpoint {endpoint!r}; endpoint_name lists {', '.join(names)}")
    return endpoint or names[0]


@cache
def _client() -> Any:
    config = Config(retries=retries(), connect_timeout=5, read_timeout=_READ_SECONDS)
    return boto3.client("sagemaker-runtime", region_name=region_name(), config=config)


def _passes(error: ClientError, attempt: int) -> bool:
    code = error.response["Error"]["Code"]
    if code == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        return status in (429, 503) or (status >= 500 and attempt < _MODEL_ATTEMPTS)
    return code in _NOT_READY


def _content(answer: bytes) -> Any:
    try:
        text = answer.decode()
    except UnicodeDecodeError:
        return answer
    try:
        return json.loads(text)
    except ValueError:
        return text
