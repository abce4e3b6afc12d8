"""Values that several networking kinds use: string matches, destinations, ports, percentages."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from tulle.policies.regex import BadRegex, compile_regex
from tulle.policies.resources.base import Maybe, Resource, UInt32


def _regex(text: str) -> str:
    # `*` alone is no RE2, but Istio reads it as "any": kept for header matches.
    if text == "*":
        return text
    try:
        compile_regex(text)
    except BadRegex as error:
        raise PydanticCustomError(
            "regex", "is not a RE2 regular expression: {why}", {"why": str(error)}
        ) from None
    return text


Regex = Annotated[str, AfterValidator(_regex)]


class StringMatch(Resource):
    """One of three ways to compare a string; `regex` must match the whole of it."""

    one_of: ClassVar[tuple[tuple[str, ...], ...]] = (("exact", "prefix", "regex"),)

    exact: Maybe[str] = None
    prefix: Maybe[str] = None
    regex: Maybe[Regex] = None


class PortSelector(Resource):
    """A port by its number."""

    number: Maybe[UInt32] = None


class Destination(Resource):
    """A host of the mesh, and a subset that a DestinationRule names."""

    host: str
    subset: Maybe[str] = None
    port: Maybe[PortSelector] = None


class Percent(Resource):
    """0.0 to 100.0."""

    value: Maybe[float] = None
