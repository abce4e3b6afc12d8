"""The metadata of a policy, and what of it only a Kubernetes server writes."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from tulle.policies.resources.base import Maybe, Resource

SERVER_SIDE = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""Fields of metadata that a server writes: accepted with a warning, not stored."""

DEFAULT_NAMESPACE = "default"

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


def is_dns_label(text: str) -> bool:
    """Whether `text` may name a namespace, a service or a part of a name (RFC 1123)."""
    return _LABEL.fullmatch(text) is not None


def _name(text: str) -> str:
    if len(text) > 253 or not all(is_dns_label(part) for part in text.split(".")):
        raise PydanticCustomError(
            "name",
            "must be lower-case letters, digits, - and . (at most 253), not {text}",
            {"text": repr(text[:80])},
        )
    return text


def _namespace(text: str) -> str:
    if not is_dns_label(text):
        raise PydanticCustomError(
            "name",
            "must be lower-case letters, digits and - (at most 63), not {text}",
            {"text": repr(text[:80])},
        )
    return text


class Metadata(Resource):
    """Names a policy; labels and annotations are kept and mean nothing here."""

    name: Annotated[str, AfterValidator(_name)]
    namespace: Annotated[str, AfterValidator(_namespace)] = DEFAULT_NAMESPACE
    labels: Maybe[dict[str, str]] = None
    annotations: Maybe[dict[str, str]] = None


class Envelope(Resource):
    """What surrounds every `spec`."""

    api_version: str
    kind: str
    metadata: Metadata


Versions = Literal["v1", "v1beta1", "v1alpha3"]
