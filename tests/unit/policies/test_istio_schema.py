"""The models against Istio's CRDs: no field missing, none more, same types, enums, oneOf groups."""

import pytest

from tests.support import istio_schema
from tests.support.shared import CRDS

# Istio's rule for credentialName and tlsCertificates repeats that for credentialNames by mistake
# (its message says what is meant); we refuse what the message says.
PLACE = "Gateway spec.servers[].tls object"
REPEATED = " oneof=credentialNames,tlsCertificates"
MEANT = " oneof=credentialName,tlsCertificates"

pytestmark = pytest.mark.needs_shared


@pytest.mark.parametrize(
    ("version", "at_least"), [("v1", 700), ("v1beta1", 700), ("v1alpha3", 600)]
)
def test_models_have_istios_fields_and_no_others(version: str, at_least: int) -> None:
    theirs = [
        line.replace(REPEATED, MEANT, 1) if line.startswith(PLACE) else line
        for line in istio_schema.of_crds(CRDS, version)
    ]
    ours = istio_schema.of_models(version)
    assert sorted(set(theirs) - set(ours)) == [], "missing or other than in Istio"
    assert sorted(set(ours) - set(theirs)) == [], "not in Istio"
    assert len(ours) == len(theirs) > at_least
