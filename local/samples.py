"""Sample pictures: small, made here, each of one shape in one colour, so that its tags can be told beforehand."""

import io
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image, ImageDraw

from local.aws import make_bucket

#: Where local mode has the pictures, and where results may go.
BUCKET: Final = "media"
PREFIX: Final = "pictures/"
RESULTS: Final = "results"
_SIDE: Final = 96
_INSET: Final = 6
_WHOLE: Final = (_INSET, _INSET, _SIDE - _INSET, _SIDE - _INSET)
# Two have one base name, and one a name that an S3 key may have but a URL may not.
_PICTURES: Final = (
    ("red-circle.png", "red", "circle"),
    ("orange-square.jpg", "orange", "square"),
    ("yellow-triangle.png", "yellow", "triangle"),
    ("green-circle.jpg", "green", "circle"),
    ("blue-square.png", "blue", "square"),
    ("purple-triangle.jpg", "purple", "triangle"),
    ("more/red-circle.png", "pink", "circle"),
    ("more/grün & 100 %.png", "green", "square"),
)
_RGB: Final = {
    "red": (220, 30, 40),
    "orange": (255, 150, 20),
    "yellow": (250, 220, 30),
    "green": (40, 160, 60),
    "blue": (30, 80, 220),
    "purple": (130, 50, 170),
    "pink": (250, 130, 190),
}


def pictures() -> Iterator[tuple[str, bytes, str]]:
    """Give each picture's name, its bytes (PNG or JPEG), and the colour that its first tag should name."""
    for name, colour, shape in _PICTURES:
        image = Image.new("RGB", (_SIDE, _SIDE), "white")
        draw = ImageDraw.Draw(image)
        if shape == "circle":
            draw.ellipse(_WHOLE, fill=_RGB[colour])
        elif shape == "square":
            draw.rectangle(_WHOLE, fill=_RGB[colour])
        else:
            draw.polygon([(0, _SIDE), (_SIDE // 2, -_SIDE), (_SIDE, _SIDE)], fill=_RGB[colour])
        written = io.BytesIO()
        image.save(written, "PNG" if name.endswith(".png") else "JPEG", quality=95)
        yield name, written.getvalue(), colour


def provide(s3: Any) -> list[str]:
    """Make the buckets of the samples and of results, and upload the pictures; give their keys."""
    for bucket in (BUCKET, RESULTS):
        make_bucket(s3, bucket)
    return upload(s3, BUCKET, PREFIX)


def upload(s3: Any, bucket: str, prefix: str = "") -> list[str]:
    """Put all pictures into a bucket that is there, under `prefix` (with its slash); give their keys."""
    keys = []
    for name, content, _ in pictures():
        s3.put_object(Bucket=bucket, Key=f"{prefix}{name}", Body=content)
        keys.append(f"{prefix}{name}")
    return keys
