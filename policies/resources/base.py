"""What all resource models share: strictness, camelCase names, oneOf groups, durations.

Models describe what may be written, not what is executed: that is `supported.py`.
"""

import re
from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

T = TypeVar("T")

MILLISECOND = 1_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": MILLISECOND,
    "s": 1_000 * MILLISECOND,
    "m": 60_000 * MILLISECOND,
    "h": 3_600_000 * MILLISECOND,
}
# ASCII digits only, at most 18 on each side: int() of many more is slow.
_PART = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?(ns|us|µs|μs|ms|s|m|h)")


def refuse_null(value: T) -> T:
    """Validator of fields that may be absent but not null."""
    if value is None:
        raise PydanticCustomError(
            "null_value", "must not be null: give a value or remove the field"
        )
    return value


Maybe = Annotated[T | None, AfterValidator(refuse_null)]
"""A field that may be absent but not null, as in a Kubernetes schema.

An AfterValidator on purpose: one that runs before turns JSON into Python objects, and the strict
mode then refuses a list where a tuple is declared.
"""


class Resource(BaseModel):
    """Base of every model: unknown fields and lax types are refused, values are immutable.

    `one_of`: groups of fields of which at most one may be given, as `oneOf` in Istio's schema.
    `apart`: pairs of groups; where a field of the one is given, none of the other may be.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
    )
    one_of: ClassVar[tuple[tuple[str, ...], ...]] = ()
    apart: ClassVar[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = ()

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        for group in self.one_of:
            given = [to_camel(name) for name in group if getattr(self, name) is not None]
            if len(given) > 1:
                allowed = ", ".join(to_camel(name) for name in group)
                raise PydanticCustomError(
                    "contradiction",
                    "{given} are given together; give only one of {allowed}",
                    {"given": " and ".join(given), "allowed": allowed},
                )
        return self

    @model_validator(mode="after")
    def _kept_apart(self) -> Self:
        for pair in self.apart:
            given = [[to_camel(n) for n in group if n in self.model_fields_set] for group in pair]
            if all(given):
                raise PydanticCustomError(
                    "contradiction",
                    "{one} can't be given together with {other}",
                    {"one": " and ".join(given[0]), "other": " and ".join(given[1])},
                )
        return self


def nanoseconds(text: str) -> int:
    """`1h2m3.5s` -> nanoseconds. Go's duration syntax, as in Istio, without a sign.

    Raises ValueError when `text` is no duration.
    """
    position = total = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            break
        whole, fraction, unit = part.groups()
        total += int(whole) * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        position = part.end()
    if position == 0 or position < len(text):
        raise ValueError(f"{text!r} is no duration")
    return total


def _duration(text: str) -> str:
    try:
        nanoseconds(text)
    except ValueError:
        raise PydanticCustomError(
            "duration",
            "must be a duration like 500ms, 2s, 1.5s, 1m or 1h30m, not {text}",
            {"text": repr(text)},
        ) from None
    return text


def _at_least_a_millisecond(text: str) -> str:
    if nanoseconds(text) < MILLISECOND:
        raise PydanticCustomError("duration", "must be at least 1ms, not {text}", {"text": text})
    return text


AnyDuration = Annotated[str, AfterValidator(_duration)]
Duration = Annotated[str, AfterValidator(_duration), AfterValidator(_at_least_a_millisecond)]
UInt32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]
