"""The codec: what is written is read back, and what is not ours is refused with a reason."""

import zlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tulle.bus import codec
from tulle.bus.errors import Undecodable
from tulle.bus.messages import Lease, PolicyFile, Workload


class Example(BaseModel):
    """A message of our own with what JSON lacks: numbers as keys."""

    v: int = 1
    text: str = ""
    ports: dict[int, int] = {}


@given(st.text(max_size=200), st.dictionaries(st.integers(0, 65535), st.integers(0, 9), max_size=4))
def test_a_message_comes_back(text: str, ports: dict[int, int]) -> None:
    message = Example(text=text, ports=ports)
    assert codec.decode(Example, codec.encode(message)) == message


def test_the_messages_of_the_mesh_come_back() -> None:
    workload = Workload(id="reviews-v1-abcde", account="reviews", address="::1", ports={80: 15006})
    assert codec.decode(Workload, codec.encode(workload)) == workload


def test_unknown_fields_are_ignored() -> None:
    data = b'{"v":1,"workload":"a","state":"ready","later":{"x":1}}'
    assert codec.decode(Lease, data) == Lease(workload="a", state="ready")


def test_a_higher_major_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(Undecodable, match=r"format 2.*upgrade tulle"):
        codec.decode(Lease, b'{"v":2,"workload":"a","state":"ready"}')


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "JSON|unexpected|empty"),
        (b"{", "."),
        (b"[]", "an object is expected, not a list"),
        (b'{"v":true}', "whole number"),
        (b'{"v":0}', "whole number"),
        (b'{"v":"1"}', "whole number"),
        (b'{"v":1,"workload":"a","state":"gone"}', "state: "),
        (b"\xff\xfe", "."),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(Undecodable, match=reason):
        codec.decode(Lease, data)


def test_large_values_are_compressed() -> None:
    small, large = PolicyFile(name="a", text="x" * 1000), PolicyFile(name="a", text="x" * 100_000)
    assert orjson.loads(codec.encode(small))["name"] == "a"
    assert len(codec.encode(large)) < 2000
    assert codec.decode(PolicyFile, codec.encode(large)) == large


@settings(max_examples=50)
@given(st.binary(max_size=100), st.sampled_from([0, 1, codec.COMPRESS_ABOVE]))
def test_any_bytes_come_back(data: bytes, padding: int) -> None:
    for value in (data + b"\x00" * padding, codec.COMPRESSED + data):
        assert codec.unpack(codec.pack(value)) == value


def test_a_bomb_is_refused_before_it_opens() -> None:
    bomb = codec.COMPRESSED + zlib.compress(b"\x00" * (codec.LARGEST + 1), 9)
    with pytest.raises(Undecodable, match="opens to more than"):
        codec.unpack(bomb)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"])
def test_a_damaged_value_is_refused(change: object) -> None:
    packed = codec.pack(b"x" * (codec.COMPRESS_ABOVE + 1))
    assert callable(change)
    with pytest.raises(Undecodable, match="compressed value"):
        codec.unpack(change(packed))
