"""Answers: what they are made of; more cases in tests/behaviour/test_answers.py."""

import pytest

from tulle.policies.config import DirectResponse, HeaderEdits, Redirect
from tulle.policies.decide.answers import compile_direct, compile_redirect, split_authority
from tulle.policies.decide.plan import Asked, LocalAnswer

ASKED = Asked("https", b"a.example:8443", b"/x?q", 8443)


def location(redirect: Redirect, asked: Asked = ASKED) -> bytes:
    answer = compile_redirect(redirect, None)(asked)
    assert [name for name, _ in answer.headers] == [b"location"] and answer.body == b""
    return answer.headers[0][1]


@pytest.mark.parametrize(
    ("redirect", "expected"),
    [
        (Redirect(), b"https://a.example:8443/x?q"),
        (Redirect(scheme="http"), b"http://a.example:8443/x?q"),
        (Redirect(scheme="http", derive_port="FROM_PROTOCOL_DEFAULT"), b"http://a.example/x?q"),
        (Redirect(derive_port="FROM_REQUEST_PORT"), b"https://a.example:8443/x?q"),
        (Redirect(port=443), b"https://a.example/x?q"),
        (Redirect(port=80), b"https://a.example:80/x?q"),
        (Redirect(authority="b:1", port=2), b"https://b:2/x?q"),
        (Redirect(authority="b:443"), b"https://b:443/x?q"),
        (Redirect(path="/y", prefix="/x"), b"https://a.example:8443/y?q"),
    ],
)
def test_where_a_redirect_leads(redirect: Redirect, expected: bytes) -> None:
    assert location(redirect) == expected


def test_the_default_port_of_the_old_scheme_is_forgotten() -> None:
    asked = Asked("https", b"[::1]:443", b"/", 443)
    assert location(Redirect(scheme="http"), asked) == b"http://[::1]/"
    assert location(Redirect(path="/y"), asked) == b"https://[::1]/y"


def test_a_direct_response_is_made_once() -> None:
    answer = compile_direct(DirectResponse(200, "aGk="), None)
    assert answer(ASKED) == LocalAnswer(200, ((b"content-type", b"text/plain"),), b"hi")
    assert answer(ASKED) is answer(ASKED)


def test_edits_are_of_the_answer() -> None:
    edits = HeaderEdits(remove=("location",), add=(("x", "1"),))
    assert compile_redirect(Redirect(308), edits)(ASKED) == LocalAnswer(308, ((b"x", b"1"),))
    assert compile_direct(DirectResponse(204), edits)(ASKED) == LocalAnswer(204, ((b"x", b"1"),))


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        (b"a:80", (b"a", 80)),
        (b"a", (b"a", 0)),
        (b"a:", (b"a", 0)),
        (b"[::1]", (b"[::1]", 0)),
        (b"[::1]:80", (b"[::1]", 80)),
        (b"a:1234567", (b"a:1234567", 0)),
        (b"", (b"", 0)),
    ],
)
def test_host_and_port_of_an_authority(authority: bytes, parts: tuple[bytes, int]) -> None:
    assert split_authority(authority) == parts
