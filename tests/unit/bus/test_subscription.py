"""A subscription's queue and handler: order, bound, failures, the end."""

import asyncio

import pytest

from tulle.bus.subscription import Message, Subscription


def message(number: int) -> Message:
    return Message("subject", str(number).encode())


@pytest.mark.asyncio
async def test_messages_are_handled_one_after_the_other_in_order() -> None:
    log: list[str] = []

    async def handle(message: Message) -> None:
        log.append(f"begin {message.data.decode()}")
        await asyncio.sleep(0)
        log.append(f"end {message.data.decode()}")

    subscription = Subscription("subject", handle)
    for number in (1, 2):
        subscription.interest.deliver(message(number))
    await subscription.finish()
    assert log == ["begin 1", "end 1", "begin 2", "end 2"]
    await subscription.stop()


@pytest.mark.asyncio
async def test_what_a_handler_raises_is_logged_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        if message.data == b"1":
            raise ValueError("no good")
        handled.append(message.data)

    subscription = Subscription("subject", handle)
    for number in (1, 2):
        subscription.interest.deliver(message(number))
    await subscription.finish()
    assert handled == [b"2"]
    assert "no good" in caplog.text
    await subscription.stop()


@pytest.mark.asyncio
async def test_above_its_bound_messages_are_dropped_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        handled.append(message.data)

    subscription = Subscription("subject", handle, pending=2)
    for number in range(102):
        subscription.interest.deliver(message(number))
    await subscription.finish()
    assert handled == [b"0", b"1"]
    assert subscription.dropped == 100
    assert len(caplog.records) == 7  # at 1, 2, 4, ... 64
    await subscription.stop()


@pytest.mark.asyncio
async def test_a_handler_can_end_its_own_subscription() -> None:
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        handled.append(message.data)
        await subscription.stop()

    subscription = Subscription("subject", handle)
    for number in (1, 2):
        subscription.interest.deliver(message(number))
    await asyncio.wait([subscription._task])
    assert handled == [b"1"]
