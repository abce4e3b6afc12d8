"""The authority's folder: made once, read later, mended after a cut start, secret throughout."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tulle.actors.authority.disk import (
    FolderDamaged,
    load_authority,
    load_ticket_key,
    read_or_make,
)

NOW = 1_700_000_000.0


def test_a_later_start_reads_what_the_first_one_made(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    root, intermediate = load_authority(folder, "test", NOW)
    again_root, again_intermediate = load_authority(folder, "test", NOW + 1000)
    assert root.certificate == again_root.certificate
    assert intermediate.certificate == again_intermediate.certificate
    assert load_ticket_key(folder) == load_ticket_key(folder)


def test_the_root_lives_ten_years_and_has_signed_the_intermediate(tmp_path: Path) -> None:
    root, intermediate = load_authority(tmp_path / "authority", "test", NOW)
    years = (root.certificate.not_valid_after_utc.timestamp() - NOW) / 86_400 / 365
    assert years == pytest.approx(10)
    intermediate.certificate.verify_directly_issued_by(root.certificate)


def test_a_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    root, _ = load_authority(folder, "test", NOW)
    (folder / "intermediate.pem").unlink()
    again, intermediate = load_authority(folder, "test", NOW)
    assert again.certificate == root.certificate
    intermediate.certificate.verify_directly_issued_by(root.certificate)


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    load_authority(folder, "test", NOW)
    load_ticket_key(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert len(list(folder.iterdir())) == 5


def test_a_key_that_does_not_fit_its_certificate_is_refused(tmp_path: Path) -> None:
    load_authority(tmp_path / "a", "test", NOW)
    load_authority(tmp_path / "b", "test", NOW)
    (tmp_path / "a" / "root.key").replace(tmp_path / "b" / "root.key")
    with pytest.raises(FolderDamaged, match=r"root\.pem"):
        load_authority(tmp_path / "b", "test", NOW)


@pytest.mark.parametrize("name", ["root.key", "root.pem", "ticket.key"])
def test_garbage_is_refused_by_name(tmp_path: Path, name: str) -> None:
    load_authority(tmp_path, "test", NOW)
    (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(FolderDamaged, match=name):
        load_authority(tmp_path, "test", NOW)
        load_ticket_key(tmp_path)


def test_of_many_makers_one_wins_and_all_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: read_or_make(path, lambda: b"%d" % n), range(32)))
    assert len(set(made)) == 1
    assert list(path.parent.iterdir()) == [path]
