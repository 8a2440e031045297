"""SageMaker's runtime on this machine: an endpoint in service answers, and really looks at the picture it gets."""

import io
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from werkzeug.wrappers import Request, Response

from local import arns
from local.sagemaker import LocalSageMaker

_PATH: Final = re.compile(r"/endpoints/([^/]+)/invocations")
#: SageMaker takes no more for real-time inference (SageMaker Runtime API, InvokeEndpoint).
_MAX_BYTES: Final = 6 * 1024 * 1024
_SIDE: Final = 64  # pictures are looked at in this size
_SHOWN: Final = 3
_COLOURS: Final = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (215, 40, 40),
    "orange": (255, 150, 20),
    "yellow": (245, 220, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 215),
    "purple": (130, 50, 170),
    "pink": (250, 130, 190),
    "brown": (120, 75, 35),
}


class RuntimeFault(Enum):
    """What can be ordered; the value is the error's code, HTTP status and message."""

    MODEL_NOT_READY = ("ModelNotReadyException", 429, "Model for endpoint {endpoint} is not ready for inference yet.")
    THROTTLING = ("ThrottlingException", 400, "Rate exceeded")
    UNAVAILABLE = ("ServiceUnavailable", 503, "The service is unavailable.")
    MODEL_FAILURE = ("ModelError", 424, 'Received server error (500) from primary with message "out of memory".')


@dataclass(slots=True)
class _Order:
    fault: RuntimeFault
    endpoint: str
    left: int


class LocalRuntime:
    """Answers InvokeEndpoint for what is InService in `sagemaker`."""

    def __init__(self, sagemaker: LocalSageMaker) -> None:
        self._sagemaker = sagemaker
        self._lock = threading.Lock()  # guards the orders and the count
        self._orders: list[_Order] = []
        self._calls: Counter[str] = Counter()

    def order(self, fault: RuntimeFault, *, endpoint: str, times: int = 1) -> None:
        """Have the next `times` calls of `endpoint` fail; earlier orders are served first."""
        with self._lock:
            self._orders.append(_Order(fault, endpoint.lower(), times))

    def calls(self, endpoint: str) -> int:
        """Count the calls of an endpoint so far, those that failed included."""
        with self._lock:
            return self._calls[endpoint.lower()]

    @staticmethod
    def answers(path: str) -> bool:
        """Tell whether this is InvokeEndpoint's path."""
        return _PATH.fullmatch(path) is not None

    def answer(self, environ: dict[str, Any]) -> Response:
        """Answer one InvokeEndpoint."""
        request = Request(environ)
        found = _PATH.fullmatch(request.path)
        assert found
        endpoint = found[1]
        fault = self._ordered(endpoint)
        if fault:
            code, status, message = fault.value
            return _refusal(code, status, message.format(endpoint=endpoint), original=500)
        if not self._sagemaker.is_in_service(endpoint):
            return _refusal("ValidationError", 400, f"Endpoint {endpoint} of account {arns.ACCOUNT} not found.")
        body = request.get_data()
        if len(body) > _MAX_BYTES:
            return _refusal("ValidationError", 413, "The request body is too large.")
        try:
            tags = tags_of(body)
        except UnreadablePictureError as error:
            message = f'Received client error (400) from primary with message "{error}".'
            return _refusal("ModelError", 424, message, original=400)
        headers = {"x-Amzn-Invoked-Production-Variant": "AllTraffic", "x-amzn-RequestId": str(uuid4())}
        return Response(json.dumps({"tags": tags}), HTTPStatus.OK, headers, content_type="application/json")

    def _ordered(self, endpoint: str) -> RuntimeFault | None:
        with self._lock:
            self._calls[endpoint.lower()] += 1
            for order in self._orders:
                if order.endpoint == endpoint.lower():
                    order.left -= 1
                    if order.left < 1:
                        self._orders.remove(order)
                    return order.fault
        return None


class UnreadablePictureError(ValueError):
    """Raised for bytes that are no picture."""


def tags_of(picture: bytes) -> list[dict[str, Any]]:
    """Name the colours that cover most of a picture, with the share of each as confidence, largest first."""
    # With the first picture: most stacks see none.
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

    try:
        with Image.open(io.BytesIO(picture)) as opened:
            small = opened.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise UnreadablePictureError("this is no picture that can be read") from error
    pixels = small.tobytes()
    seen = Counter(_colour(pixels[at], pixels[at + 1], pixels[at + 2]) for at in range(0, len(pixels), 3))
    total = _SIDE * _SIDE
    return [{"name": name, "confidence": round(count / total, 2)} for name, count in seen.most_common(_SHOWN)]


def _colour(red: int, green: int, blue: int) -> str:
    return min(
        _COLOURS,
        key=lambda name: sum((a - b) ** 2 for a, b in zip(_COLOURS[name], (red, green, blue), strict=True)),
    )


def _refusal(code: str, status: int, message: str, *, original: int = 0) -> Response:
    body: dict[str, Any] = {"Message": message}
    if code == "ModelError":
        logs = f"arn:aws:logs:{arns.REGION}:{arns.ACCOUNT}:log-group:/aws/sagemaker/Endpoints"
        body |= {"OriginalStatusCode": original, "OriginalMessage": message, "LogStreamArn": logs}
    headers = {"x-amzn-ErrorType": code, "x-amzn-RequestId": str(uuid4())}
    return Response(json.dumps(body), status, headers, content_type="application/json")
