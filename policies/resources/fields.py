"""Looks into the models: which model stands at a path, which fields it allows.

Used for messages ("allowed here: ...") and by the test that compares the models with Istio's CRDs.
"""

import typing
from collections.abc import Iterator
from types import UnionType

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tulle.policies.problems import Path


def allowed_at(root: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The names of the fields that may stand at `path` below `root`; empty when it is no object."""
    models = _models_at(root, path)
    return tuple(sorted(name for model in models for name, _ in named_fields(model)))


def named_fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of `model` under the names that users write."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field


def inner(annotation: object) -> Iterator[object]:
    """The types inside an annotation, with `Annotated`, `| None` and their like taken off."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from inner(typing.get_args(annotation)[0])
    elif origin in (typing.Union, UnionType):
        for part in typing.get_args(annotation):
            if part is not type(None):
                yield from inner(part)
    else:
        yield annotation


def element(annotation: object) -> object | None:
    """What a tuple or dict holds; None for anything else."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return arguments[0] if arguments else None
    if origin is dict:
        return arguments[1] if arguments else None
    return None


def _models_at(root: object, path: Path) -> Iterator[type[BaseModel]]:
    for kind in inner(root):
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        if is_model and not path:
            yield kind  # type: ignore[misc]
        elif is_model:
            for name, field in named_fields(kind):  # type: ignore[arg-type]
                if name == path[0]:
                    yield from _models_at(field.annotation, path[1:])
        elif path and (item := element(kind)) is not None:
            yield from _models_at(item, path[1:])
