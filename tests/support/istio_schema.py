"""Istio's schema and our models in one notation, a line per field, to be compared as text.

VirtualService spec.http[].match[].uri.exact string
ServiceEntry spec.resolution string enum=DNS,DNS_ROUND_ROBIN,DYNAMIC_DNS,NONE,STATIC

`oneof=a,b`: at most one of them; `apart=a,b|c,d`: none of the one group with one of the other.
"""

import re
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from tulle.policies.resources.base import refuse_null
from tulle.policies.resources.fields import element, inner, named_fields
from tulle.policies.resources.kinds import GROUPS, KINDS, VERSIONS, Kind

_HAS = re.compile(r"has\(self\.(\w+)\) \? 1 : 0\)")
_HAS_ANY = re.compile(r"^\((has.*)\) \? \((!has.*)\) : true$", re.DOTALL)
_FIELD = re.compile(r"has\(self\.(\w+)\)")
_KIND = re.compile(r"^  names:\n(?:    .*\n)*?    kind: (\w+)$", re.MULTILINE)
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def of_crds(file: Path, version: str = "v1") -> list[str]:
    """The lines of Istio's CustomResourceDefinitions for the kinds that we model."""
    lines: list[str] = []
    for kind in _kinds(version):
        versions = _crds(file)[kind]
        schema = versions[version]["properties"]["spec"]
        lines += [f"{kind} {line}" for line in _schema_lines("spec", schema, "")]
    return sorted(lines)


def rules_of_crds(file: Path, kind: Kind) -> set[str]:
    """The messages of a kind's CEL rules, each a document that Istio refuses."""
    found: set[str] = set()

    def collect(schema: Any) -> None:
        if isinstance(schema, dict):
            found.update(rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
            for part in schema.values():
                collect(part)
        elif isinstance(schema, list):
            for part in schema:
                collect(part)

    collect(_crds(file)[kind]["v1"]["properties"]["spec"])
    return found


def _kinds(version: str) -> list[Kind]:
    """The kinds whose API group has this version."""
    return [kind for kind in KINDS if version in VERSIONS[GROUPS[kind]]]


@cache
def _crds(file: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind and version the schemas of the kinds that we model; read once, the others never."""
    found = {}
    for text in re.split(r"^---\n", file.read_text(), flags=re.MULTILINE):
        kind = _KIND.search(text)
        if kind and kind[1] in KINDS:
            spec = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
            found[kind[1]] = {v["name"]: v["schema"]["openAPIV3Schema"] for v in spec["versions"]}
    return found


def of_models(version: str) -> list[str]:
    """The lines of our models of the kinds that this version has."""
    return sorted(
        f"{kind} {line}"
        for kind in _kinds(version)
        for line in _model_lines("spec", KINDS[kind], "")
    )


def _schema_lines(path: str, schema: dict[str, Any], flags: str) -> Iterator[str]:
    kind = schema["type"]
    values = schema.get("additionalProperties")
    groups = sorted(",".join(sorted(group)) for group in _groups(schema))
    flags += " nullable" if schema.get("nullable") else ""
    flags += f" enum={','.join(sorted(schema['enum']))}" if "enum" in schema else ""
    flags += "".join(f" oneof={group}" for group in groups)
    flags += "".join(f" apart={pair}" for pair in _apart(schema))
    yield f"{path} {'map' if values else kind}{flags}"
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        flag = " required" if name in required else ""
        yield from _schema_lines(f"{path}.{name}", field, flag)
    if kind == "array":
        yield from _schema_lines(f"{path}[]", schema["items"], "")
    if values:
        yield from _schema_lines(f"{path}{{}}", values, "")


def _groups(schema: dict[str, Any]) -> Iterator[list[str]]:
    """Groups of fields of which at most one may be given: `oneOf`, and CEL rules that say so."""
    for part in (schema, *schema.get("allOf", ())):
        for choice in part.get("oneOf", ()):
            if "not" in choice:
                names = [name for option in choice["not"]["anyOf"] for name in option["required"]]
                if len(names) > 1:  # of a single field it says nothing
                    yield names
    for rule in schema.get("x-kubernetes-validations", ()):
        if rule["rule"].endswith("<= 1") and len(names := _HAS.findall(rule["rule"])) > 1:
            yield names


def _apart(schema: dict[str, Any]) -> Iterator[str]:
    """CEL rules of the form `(has(a) || has(b)) ? (!has(c) && !has(d)) : true`."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if match := _HAS_ANY.match(rule["rule"]):
            yield "|".join(",".join(sorted(_FIELD.findall(group))) for group in match.groups())


def _model_lines(path: str, annotation: object, flags: str) -> Iterator[str]:
    [kind] = inner(annotation)
    item = element(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        groups = ["".join(f",{to_camel(n)}" for n in group)[1:] for group in kind.one_of]  # type: ignore[attr-defined]
        ordered = sorted(",".join(sorted(group.split(","))) for group in groups)
        apart = [
            "|".join(",".join(sorted(map(to_camel, group))) for group in pair)
            for pair in kind.apart  # type: ignore[attr-defined]
        ]
        rules = [f" oneof={group}" for group in ordered] + [f" apart={pair}" for pair in apart]
        yield f"{path} object{flags}" + "".join(rules)
        for name, field in named_fields(kind):
            yield from _model_lines(f"{path}.{name}", field.annotation, _flags(field))
    elif item is not None:
        is_map = typing.get_origin(kind) is dict
        yield f"{path} {'map' if is_map else 'array'}{flags}"
        yield from _model_lines(f"{path}{'{}' if is_map else '[]'}", item, "")
    elif typing.get_origin(kind) is typing.Literal:
        yield f"{path} string{flags} enum={','.join(sorted(typing.get_args(kind)))}"
    else:
        yield f"{path} {_SCALARS[kind]}{flags}"  # type: ignore[index]


def _flags(field: FieldInfo) -> str:
    optional = type(None) in typing.get_args(field.annotation)
    guarded = any(getattr(m, "func", None) is refuse_null for m in field.metadata)
    flags = " required" if field.is_required() else ""
    return flags + (" nullable" if optional and not guarded else "")
