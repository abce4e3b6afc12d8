"""Subjects: what is built parses back, and nothing else parses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tulle.bus import keys
from tulle.bus.subjects import Bucket, Kind, Parsed, Subjects

SUBJECTS = Subjects("test-1")
TEXT = st.text(min_size=1, max_size=20)


@given(TEXT, TEXT, TEXT)
def test_what_is_built_parses_back(one: str, two: str, three: str) -> None:
    key = keys.outbound(one)
    built = {
        SUBJECTS.api_policy(one): Parsed(Kind.API_POLICY, (one,)),
        SUBJECTS.api_workload(one, two, three): Parsed(Kind.API_WORKLOAD, (one, two, three)),
        SUBJECTS.api_mesh(one): Parsed(Kind.API_MESH, (one,)),
        SUBJECTS.ca_sign(one, two): Parsed(Kind.CA_SIGN, (one, two)),
        SUBJECTS.event_config(key): Parsed(Kind.EVENT_CONFIG, (key,)),
        SUBJECTS.event_registry(key): Parsed(Kind.EVENT_REGISTRY, (key,)),
        SUBJECTS.event_policies(key): Parsed(Kind.EVENT_POLICIES, (key,)),
        SUBJECTS.event(Bucket.CREDENTIALS, key): Parsed(Kind.EVENT_CREDENTIALS, (key,)),
        SUBJECTS.heartbeat(): Parsed(Kind.HEARTBEAT),
        SUBJECTS.trust(): Parsed(Kind.TRUST),
        SUBJECTS.lease(one, two, three): Parsed(Kind.LEASE, (one, two, three)),
        SUBJECTS.telemetry(one, two): Parsed(Kind.TELEMETRY, (one, two)),
        SUBJECTS.collect(one, two): Parsed(Kind.COLLECT, (one, two)),
        SUBJECTS.api_credential(one): Parsed(Kind.API_CREDENTIAL, (one,)),
        SUBJECTS.api_runner(one): Parsed(Kind.API_RUNNER, (one,)),
        SUBJECTS.status_proxy(one): Parsed(Kind.STATUS_PROXY, (one,)),
        SUBJECTS.proxy_command(one, two): Parsed(Kind.PROXY_COMMAND, (one, two)),
    }
    for subject, parsed in built.items():
        assert SUBJECTS.parse(subject) == parsed
    assert {parsed.kind for parsed in built.values()} == set(Kind)


def test_the_wildcards_cover_what_is_built() -> None:
    assert SUBJECTS.api_workload_all == "tulle.test-1.api.workload.*.*.*"
    assert SUBJECTS.event_all(Bucket.CONFIG) == SUBJECTS.all(Kind.EVENT_CONFIG)
    assert SUBJECTS.event_all(Bucket.CONFIG) == "tulle.test-1.event.config.>"
    assert SUBJECTS.status_all == "tulle.test-1.status.proxy.*"
    assert SUBJECTS.proxy_commands("a.b") == "tulle.test-1.proxy.a=2Eb.*"
    assert SUBJECTS.telemetry_of("a.b") == "tulle.test-1.telemetry.*.a=2Eb"
    assert SUBJECTS.leases("default", "a.b") == "tulle.test-1.lease.default.a=2Eb.*"


def test_a_bucket_is_a_stream_with_subjects() -> None:
    assert SUBJECTS.bucket(Bucket.POLICIES) == "tulle_test-1_policies"
    assert SUBJECTS.stream(Bucket.POLICIES) == "KV_tulle_test-1_policies"
    assert SUBJECTS.value(Bucket.POLICIES, "leader") == "$KV.tulle_test-1_policies.leader"


@pytest.mark.parametrize(
    "subject",
    [
        "tulle.other.lease.a",
        "tulle.test-1.",
        "tulle.test-1.unknown.a",
        "tulle.test-1.lease",
        "tulle.test-1.lease.a.b.c.d",
        "tulle.test-1.event.config",
        "tulle.test-1.event.heartbeat.a",
        "tulle.test-1.proxy.a=41.b",
    ],
)
def test_what_nobody_builds_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"subject|parts|token|key"):
        SUBJECTS.parse(subject)


@pytest.mark.parametrize("mesh", ["", "a.b", "a_b", "a b", "*", "x" * 33])
def test_a_mesh_name_is_plain(mesh: str) -> None:
    with pytest.raises(ValueError, match="can't name a mesh"):
        Subjects(mesh)
