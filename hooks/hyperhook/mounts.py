"""Which file system a path is on: SQLite's locks cannot be relied on over a network."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["TABLE", "network_file_system"]

TABLE = Path("/proc/self/mounts")
"""Where Linux lists what is mounted; other systems have none, and nothing is refused there."""

_KINDS = frozenset(
    "9p afs beegfs ceph cifs fhgfs glusterfs gpfs lustre ncpfs nfs nfs4 orangefs pvfs2 smb smb2 smb3 smbfs".split()
)
_FUSE = re.compile(r"fuse\.(sshfs|s3fs|gcsfuse|rclone|glusterfs|ceph|curlftpfs|davfs|juicefs|mount-s3|goofys)")


def network_file_system(path: Path, table: str | None = None) -> str | None:
    """Return the type of the network file system that a path is on; None where it is on none, or nobody can tell.

    Args:
        path: An absolute path; it need not be there.
        table: The lines of ``/proc/self/mounts``; by default those of this system.
    """
    if table is None:
        try:
            table = TABLE.read_text(errors="surrogateescape")
        except OSError:
            return None
    found, kind = Path(), ""
    for line in table.splitlines():
        _, place, mounted, *_ = (*line.split(" "), "", "", "")
        folder = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))
        if (path == folder or folder in path.parents) and len(folder.parts) >= len(found.parts):
            found, kind = folder, mounted  # of two on one folder the later is what is seen
    return kind if kind in _KINDS or _FUSE.fullmatch(kind) else None
