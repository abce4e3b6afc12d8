"""Messages to bytes and back. Their counterpart is `messages.py`, which says what they hold.

On the wire a message is JSON with its major version in `v`. Fields that the reader does not know
are ignored (a newer minor), a higher major is refused. Bytes above 64 KiB travel compressed:
`COMPRESSED` (no JSON starts like that), then a zlib stream that opens to at most 64 MiB. Whoever
stores bytes of his own form (compiled config) uses `pack` and `unpack` for the same effect.
"""

import zlib
from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from tulle.bus.errors import Undecodable

COMPRESSED = b"\x00z"
COMPRESS_ABOVE = 64 * 1024
LARGEST = 64 * 1024 * 1024

MessageT = TypeVar("MessageT", bound=BaseModel)


def encode(message: BaseModel) -> bytes:
    """The message as bytes, compressed when large; equal messages give equal bytes."""
    # Pydantic first: orjson knows neither models nor numbers as keys of a mapping.
    return pack(orjson.dumps(message.model_dump(mode="json"), option=orjson.OPT_NON_STR_KEYS))


def decode(expected: type[MessageT], data: bytes) -> MessageT:
    """The message of type `expected` in `data`. Raises `Undecodable`."""
    name = expected.__name__
    try:
        value = orjson.loads(unpack(data))
    except orjson.JSONDecodeError as error:
        raise Undecodable(name, str(error)) from None
    if not isinstance(value, dict):
        raise Undecodable(name, f"an object is expected, not a {type(value).__name__}")
    _check_major(expected, value.get("v", 1))
    try:
        return expected.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise Undecodable(name, f"{path}: {first['msg']}") from None


def pack(data: bytes) -> bytes:
    """`data`, compressed when it is above 64 KiB. Raises `ValueError` above 64 MiB."""
    if len(data) > LARGEST:
        raise ValueError(f"{len(data)} bytes are too many for one value, {LARGEST} is the limit")
    if len(data) <= COMPRESS_ABOVE and not data.startswith(COMPRESSED):
        return data
    return COMPRESSED + zlib.compress(data, 1)


def unpack(data: bytes) -> bytes:
    """The inverse of `pack`. Raises `Undecodable`, also for what opens to more than 64 MiB."""
    if not data.startswith(COMPRESSED):
        return data
    stream = zlib.decompressobj()
    try:
        opened = stream.decompress(data[len(COMPRESSED) :], LARGEST + 1)
    except zlib.error as error:
        raise Undecodable("compressed value", str(error)) from None
    if len(opened) > LARGEST:
        raise Undecodable("compressed value", f"it opens to more than {LARGEST} bytes")
    if not stream.eof or stream.unused_data:
        raise Undecodable("compressed value", "it is cut short or has bytes after its end")
    return opened


def _check_major(expected: type[BaseModel], major: object) -> None:
    known = expected.model_fields["v"].default if "v" in expected.model_fields else 1
    if not isinstance(major, int) or isinstance(major, bool) or major < 1:
        raise Undecodable(expected.__name__, f"v must be a whole number from 1, not {major!r}")
    if major > known:
        raise Undecodable(
            expected.__name__,
            f"it has format {major}, this version of tulle reads up to {known}: upgrade tulle",
        )
