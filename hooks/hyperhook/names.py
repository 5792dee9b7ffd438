"""Names from users, as parts of paths."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

__all__ = ["file_name"]


def file_name(name: str, *, safe: str = " ") -> str:
    """Return a name as one harmless path part: reversible for short names, distinct for all."""
    quoted = quote(name, safe=safe)
    if quoted.strip(".") == "":
        quoted = quoted.replace(".", "%2E") or "%"
    if len(quoted) > 150:
        quoted = f"{quoted[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return quoted
