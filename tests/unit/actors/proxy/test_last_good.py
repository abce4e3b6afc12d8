"""Kept config on disk: what was written comes back; what is damaged or of another format not."""

import hashlib
import stat
from pathlib import Path

import orjson
import pytest

from tests.support.proxy_world import config_ref, credential_ref, hosts_config, outbound_config
from tulle.actors.proxy import last_good
from tulle.actors.proxy.events import Discard, Keep, Kept, Ref
from tulle.actors.proxy.last_good import LastGood
from tulle.bus import codec
from tulle.bus.keeping import CredentialRecord
from tulle.policies import config as configs
from tulle.policies.config import InboundConfig

REVIEWS = outbound_config("reviews", "reviews")
POLICIES = config_ref(InboundConfig("default"))


def put(config: configs.Config, revision: int = 7) -> Keep:
    return Keep(config_ref(config), "first", revision, configs.encode(config))


async def kept(folder: Path, *entries: Keep | Discard) -> Path:
    """The folder of the kept config after `entries` were written."""
    store = LastGood(folder)
    store.load()
    for entry in entries:
        store.write(entry)
    await store.flush()
    return folder / last_good.FOLDER


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.asyncio
async def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    await kept(tmp_path, put(REVIEWS), put(hosts_config("a"), 9), Keep(POLICIES, "first", 0, None))
    assert set(LastGood(tmp_path).load()) == {
        Kept(config_ref(REVIEWS), "first", 7, REVIEWS),
        Kept(config_ref(hosts_config()), "first", 9, hosts_config("a")),
        Kept(POLICIES, "first", 0, None),
    }


@pytest.mark.asyncio
async def test_the_newest_of_a_key_is_there_and_what_is_discarded_is_not(tmp_path: Path) -> None:
    later = outbound_config("reviews", "ratings")
    await kept(tmp_path, put(REVIEWS), put(later, 8), put(hosts_config()), Discard(POLICIES))
    await kept(tmp_path, Discard(config_ref(hosts_config())))
    assert LastGood(tmp_path).load() == (Kept(config_ref(REVIEWS), "first", 8, later),)


@pytest.mark.asyncio
async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = await kept(tmp_path, put(REVIEWS))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in files(folder)] == [0o600]


@pytest.mark.asyncio
@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "revision", "garbage"])
async def test_a_damaged_file_is_dropped_with_a_sentence(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = await kept(tmp_path, put(REVIEWS), put(InboundConfig("default")))
    (victim,) = (it for it in files(folder) if b'"outbound' in it.read_bytes())
    good = victim.read_bytes()
    victim.write_bytes(
        {
            "cut": good[:-1],
            "empty": b"",
            "bit": good[:-20] + bytes([good[-20] ^ 1]) + good[-19:],
            "revision": good.replace(b'"revision":7', b'"revision":8'),
            "garbage": b"\xff" * 500,
        }[damage]
    )
    assert [it.ref for it in LastGood(tmp_path).load()] == [POLICIES]
    assert not victim.exists()
    (line,) = caplog.messages
    assert "is dropped" in line and str(victim) in line


@pytest.mark.asyncio
@pytest.mark.parametrize("what", ["file", "config", "key", "size"])
async def test_what_this_version_can_not_read_is_dropped(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = put(REVIEWS)
    if what == "config":
        assert entry.value is not None
        newer = entry.value.replace(b'"v":1', b'"v":2')
        entry = Keep(entry.ref, "first", 7, newer)
    if what == "key":
        entry = Keep(config_ref(outbound_config("other")), "first", 7, entry.value)
    folder = await kept(tmp_path, entry)
    if what == "file":
        (file,) = files(folder)
        file.write_bytes(signed(file.read_bytes()[65:].replace(b'{"v":1', b'{"v":2', 1)))
    if what == "size":
        monkeypatch.setattr(last_good, "MAX_FILE", 100)
    assert LastGood(tmp_path).load() == ()
    assert files(folder) == []
    assert len(caplog.messages) == 1


def signed(rest: bytes) -> bytes:
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


@pytest.mark.asyncio
async def test_a_damaged_credential_shows_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = CredentialRecord(name="shop", certificate="C", private_key="SECRET")
    ref = credential_ref("shop")
    entry = Keep(ref, "first", 1, codec.encode(record))
    assert "SECRET" not in repr(entry)
    folder = await kept(tmp_path, entry)
    assert LastGood(tmp_path).load() == (Kept(ref, "first", 1, record),)
    (file,) = files(folder)
    header = {"v": 1, "bucket": "credentials", "key": ref.key, "epoch": "", "revision": 1}
    value = codec.encode(record).replace(b'"certificate"', b'"other"')
    file.write_bytes(signed(orjson.dumps(header | {"exists": True}) + b"\n" + value))
    assert LastGood(tmp_path).load() == ()
    assert "SECRET" not in caplog.text


@pytest.mark.asyncio
async def test_the_draft_of_a_killed_proxy_goes(tmp_path: Path) -> None:
    folder = await kept(tmp_path, put(REVIEWS))
    (folder / ".draft").write_bytes(b"half")
    assert len(LastGood(tmp_path).load()) == 1
    assert len(files(folder)) == 1


@pytest.mark.asyncio
async def test_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept(tmp_path, put(REVIEWS))
    monkeypatch.setattr(last_good, "MAX_TOTAL", 100)
    assert LastGood(tmp_path).load() == ()


@pytest.mark.asyncio
async def test_what_can_not_be_written_leaves_nothing_that_is_not_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await kept(tmp_path, put(REVIEWS))

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(last_good, "_replace", full)
    folder = await kept(tmp_path, put(REVIEWS, 8))
    assert files(folder) == []
    assert "No space left" in caplog.text


@pytest.mark.asyncio
async def test_a_folder_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    """A workload that ends: its folder goes while its sidecar still hears of changes."""
    store = LastGood(tmp_path / "gone")
    store.write(put(REVIEWS))
    await store.flush()
    assert not (tmp_path / "gone").exists()


def test_a_folder_that_can_not_be_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    assert LastGood(tmp_path).load() == ()


def test_refs_have_names_of_their_own(tmp_path: Path) -> None:
    long = Ref(POLICIES.bucket, "outbound." + "x" * 253)
    assert last_good._file_name(long) != last_good._file_name(POLICIES)
    assert len(last_good._file_name(long)) == 32
