"""Unquoted YAML scalars -> JSON values, as Kubernetes reads them: no dates, no base 60.

So what is stored is JSON, and equals what other tools make of the same file.
"""

import math
import re
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OCTAL = re.compile(r"([-+]?)0o?([0-7]+)")
_HEX = re.compile(r"([-+]?)0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}


def plain_scalar(text: str) -> Json:
    """An unquoted scalar as JSON. Raises ValueError for numbers that JSON can't say."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[0].isascii() or text[0] not in "+-.0123456789" or len(text) > 400:
        return text
    if _INT.fullmatch(text):
        return _bounded(int(text))
    if (octal := _OCTAL.fullmatch(text)) is not None:
        return _bounded(int(octal[1] + octal[2], 8))
    if (hexadecimal := _HEX.fullmatch(text)) is not None:
        return _bounded(int(hexadecimal[1] + hexadecimal[2], 16))
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"{text} is no number that JSON can hold; quote it if it is a string")
        return number
    return text


def _bounded(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} is over 64 bits; quote it if it is a string")
    return number
