"""What a gateway could not use is refused when it is added, and no message has a key in it."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.support.gateway_certificates import certificate_pem, key_pem, make_key
from tulle.actors.supervisor.certificates import credential_problems, report
from tulle.bus.keeping import CredentialAddRequest

NOW = 1_700_000_000.0
KEY = make_key()
CERTIFICATE = certificate_pem(KEY, "bookstore.example.com", begins=NOW - 60)


def request(**changed: str) -> CredentialAddRequest:
    good = {
        "id": "1",
        "name": "bookstore",
        "certificate": CERTIFICATE,
        "private_key": key_pem(KEY),
    }
    return CredentialAddRequest.model_validate(good | changed)


def found(changed: dict[str, str]) -> list[tuple[str, str, str]]:
    problems = credential_problems(request(**changed), NOW)
    secret = changed.get("private_key", key_pem(KEY))[30:60]
    assert not any(secret and secret in problem.message for problem in problems)
    return [(problem.severity, problem.code, problem.path) for problem in problems]


def test_a_good_one_has_no_problem() -> None:
    assert found({}) == []
    other_ca = certificate_pem(make_key(), "a", begins=NOW)
    assert found({"ca": other_ca, "certificate": CERTIFICATE + other_ca}) == []


def test_an_rsa_key_is_good_unless_it_is_too_small_for_tls() -> None:
    for bits, expected in ((2048, []), (1024, [("error", "bad-key", "private_key")])):
        key = rsa.generate_private_key(65537, bits)
        pair = {"certificate": certificate_pem(key, "a", begins=NOW), "private_key": key_pem(key)}
        assert found(pair) == expected


@pytest.mark.parametrize(
    ("changed", "code", "path"),
    [
        ({"name": ""}, "bad-name", "name"),
        ({"name": "Book Store"}, "bad-name", "name"),
        ({"name": "a/b"}, "bad-name", "name"),
        ({"certificate": "no PEM"}, "bad-certificate", "certificate"),
        ({"certificate": key_pem(KEY)}, "bad-certificate", "certificate"),
        ({"ca": "no PEM"}, "bad-certificate", "ca"),
        ({"private_key": "no PEM"}, "bad-key", "private_key"),
        ({"private_key": CERTIFICATE}, "bad-key", "private_key"),
        ({"private_key": key_pem(KEY, "password")}, "bad-key", "private_key"),
        (
            {"private_key": key_pem(ed25519.Ed25519PrivateKey.generate())},
            "bad-key",
            "private_key",
        ),
        ({"private_key": key_pem(make_key())}, "key-mismatch", "private_key"),
        (
            {"certificate": certificate_pem(KEY, "a", begins=NOW, lifetime=timedelta(0))},
            "expired",
            "certificate",
        ),
    ],
)
def test_what_can_not_be_used_is_an_error(changed: dict[str, str], code: str, path: str) -> None:
    assert ("error", code, path) in found(changed)


def test_all_problems_are_named() -> None:
    assert [code for _, code, _ in found({"name": "-", "ca": "x", "private_key": "x"})] == [
        "bad-name",
        "bad-certificate",
        "bad-key",
    ]


@pytest.mark.parametrize(
    ("begins", "lifetime", "code"),
    [
        (NOW - 60, timedelta(days=29), "expires-soon"),
        (NOW + 60, timedelta(days=90), "not-yet-valid"),
    ],
)
def test_what_will_not_do_for_long_is_a_warning(
    begins: float, lifetime: timedelta, code: str
) -> None:
    certificate = certificate_pem(KEY, "a", begins=begins, lifetime=lifetime)
    assert found({"certificate": certificate}) == [("warning", code, "certificate")]


def test_a_report_has_hosts_and_end_and_no_key() -> None:
    said = report("bookstore", CERTIFICATE, ca="")
    assert (said.hosts, said.has_ca) == (["bookstore.example.com"], False)
    assert said.not_after == NOW - 60 + 90 * 86_400
    assert report("x", certificate_pem(KEY, begins=NOW), "ca").hosts == []


def test_a_request_that_is_printed_has_no_key() -> None:
    assert "PRIVATE" not in repr(request()) and "BEGIN" not in repr(request())
