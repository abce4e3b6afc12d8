"""Istio's samples on a mesh: applied, read back as they are, and deleted."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.mesh import Mesh
from tests.support.shared import SAMPLES

pytestmark = [pytest.mark.timeout(120), pytest.mark.needs_shared]

FILES = sorted(SAMPLES.glob("*/*.yaml"))
TCP = ("tcp-echo-all-v1", "tcp-echo-20-v2")


# Without a file there is one case, the folder itself, which is skipped with the reason.
@pytest.mark.parametrize(
    "sample",
    [file for file in FILES if file.stem not in TCP] or [SAMPLES],
    ids=lambda sample: sample.stem,
)
def test_a_sample_is_applied_and_kept_as_it_is(mesh: Mesh, sample: Path) -> None:
    documents = [it for it in yaml.safe_load_all(sample.read_text()) if it is not None]
    mesh.succeed("apply", "-f", str(sample))
    stored = json.loads(mesh.succeed("get", "all", "-o", "json"))
    names = [_name(document) for document in documents]
    assert sorted([it for it in stored if _name(it) in names], key=_name) == sorted(
        documents, key=_name
    )
    deleted = mesh.succeed("delete", "-f", str(sample)).splitlines()[:-1]
    assert len(deleted) == len(documents)
    assert all(change.startswith("deleted ") for change in deleted)


@pytest.mark.parametrize("name", TCP)
def test_a_sample_for_tcp_is_refused_for_what_is_not_there_yet(mesh: Mesh, name: str) -> None:
    done = mesh.tulle("apply", "-f", str(SAMPLES / "other" / f"{name}.yaml"))
    assert done.returncode == 1
    assert "tcp is not supported yet" in done.stderr
    assert "nothing was changed" in done.stderr


def _name(document: dict[str, dict[str, str]]) -> tuple[str, str, str]:
    meta = document["metadata"]
    return str(document["kind"]), meta.get("namespace", "default"), meta["name"]
