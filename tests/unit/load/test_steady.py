from collections.abc import AsyncIterator, Callable

import pytest

from tulle.bus.subscription import Message
from tulle.deploy.api import Api
from tulle.load.change import Changes
from tulle.load.steady import Answer, parse, served

ANSWER = b"HTTP/1.1 200 OK\r\nX-Version: 7\r\nContent-Length: 3\r\n\r\nok!"


def test_an_answer_is_there_once_all_of_it_is() -> None:
    for end in range(len(ANSWER)):
        assert parse(ANSWER[:end]) is None
    found = parse(ANSWER)
    assert found is not None
    assert (found.status, found.body, found.header("x-version")) == (200, b"ok!", "7")
    assert found.header("x-other") == ""


@pytest.mark.parametrize("data", [ANSWER + b"x", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_not_one_answer_with_a_length_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


def test_a_request_after_a_change_must_be_served_by_it() -> None:
    changes = Changes(Api("test", Unused()))
    changes.applied = 7
    judge = changes.judge()
    changes.applied = 8  # of no concern for a request that left before
    assert judge(Answer(200, b"x\r\nx-version: 7", b"")) == ""
    assert judge(Answer(200, b"x\r\nx-version: 6", b"")) == "version 6 after 7 was applied"
    assert judge(Answer(503, b"x", b"")) == "status 503"


class Unused:
    """Requests that nobody makes."""

    async def request(self, subject: str, data: bytes, timeout: float) -> Message:  # noqa: ASYNC109
        raise AssertionError(subject)

    def request_many(
        self,
        subject: str,
        data: bytes,
        timeout: float,
        *,
        done: Callable[[Message], bool],
    ) -> AsyncIterator[Message]:
        raise AssertionError(subject)


def test_only_a_200_is_served() -> None:
    assert served(Answer(200, b"", b"")) == ""
    assert served(Answer(503, b"x\r\nx-tulle-reason: no_route", b"")) == "status 503 no_route"
