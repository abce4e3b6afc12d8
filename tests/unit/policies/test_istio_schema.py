"""The models against Istio's CRDs: no field missing, none more, same types, enums, oneOf groups.

`istio_schema.txt` is the CRDs in the notation of tests/support/istio_schema.py, kept here so that
the comparison needs nothing beside the repository.
"""

import os
from pathlib import Path

import pytest

from tests.support import istio_schema

KEPT = Path(__file__).with_name("istio_schema.txt")
SHARED = Path(os.environ.get("TULLE_SHARED", Path(__file__).parents[4] / "shared"))
CRDS = SHARED / "istio" / "crds.yaml"

# Istio's rule for credentialName and tlsCertificates repeats that for credentialNames by mistake
# (its message says what is meant); we refuse what the message says.
MISTAKEN = (
    "Gateway spec.servers[].tls object oneof=credentialName,credentialNames "
    "oneof=credentialNames,tlsCertificates oneof=credentialNames,tlsCertificates"
)
MEANT = (
    "Gateway spec.servers[].tls object oneof=credentialName,credentialNames "
    "oneof=credentialName,tlsCertificates oneof=credentialNames,tlsCertificates"
)


def test_models_have_istios_fields_and_no_others() -> None:
    kept = KEPT.read_text().replace(MISTAKEN, MEANT).splitlines()
    ours = istio_schema.of_models()
    assert sorted(set(kept) - set(ours)) == [], "missing or other than in Istio"
    assert sorted(set(ours) - set(kept)) == [], "not in Istio"
    assert len(ours) == len(kept) > 600


# Not a skip: where the CRDs are not at hand there is no such test, and the kept copy stands.
if CRDS.exists():

    @pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
    def test_the_kept_copy_is_istios_schema_in_every_version(version: str) -> None:
        assert istio_schema.of_crds(CRDS, version) == KEPT.read_text().splitlines()
