"""SQLite over a network is refused, whatever the mount table calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

import hyperhook as hh
from hyperhook import mounts
from hyperhook.errors import StoreError
from hyperhook.mounts import network_file_system

TABLE = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb1 /home/me/local\\040disk ext4 rw 0 0
//nas/share /mnt/nas cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
/dev/fuse /mnt/mine fuse.mergerfs rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
none /mnt/over 9p rw 0 0
scratch@tcp:/x /scratch lustre rw 0 0
torn
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/.hyperhook/hyperhook.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homework/x.db", None),
        ("/home/me/local disk/x.db", None),
        ("/mnt/nas/x.db", "cifs"),
        ("/mnt/ssh/a/b/x.db", "fuse.sshfs"),
        ("/mnt/mine/x.db", None),
        ("/mnt/over/x.db", "9p"),
        ("/scratch/x.db", "lustre"),
        ("/var/x.db", None),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), TABLE) == kind


def test_without_a_table_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mounts, "TABLE", tmp_path / "none")
    assert network_file_system(tmp_path) is None


def test_a_home_on_a_network_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path.resolve()} nfs rw 0 0\n")
    monkeypatch.setattr(mounts, "TABLE", table)
    message = r"lies on a network file system \(nfs\).*share a PostgreSQL.*or choose a home on a local disk"
    with pytest.raises(StoreError, match=message):
        hh.Study("s", home=tmp_path / "home")
    local = f"sqlite:///{Path('/tmp').resolve()}/nowhere/x.db"
    with pytest.raises(StoreError, match="unable to open"):
        hh.Study("s", home=tmp_path / "home", storage=local)  # the home itself may be there
