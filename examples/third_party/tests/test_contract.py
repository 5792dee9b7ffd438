import json
from collections.abc import Iterator
from pathlib import Path

from hyperhook.testing import RecordedPoint, RecordedRun, TrackerContract
from hyperhook_jsonl import JsonLines


class TestJsonLines(TrackerContract):
    def make(self, folder: Path) -> JsonLines:
        return JsonLines(str(folder / "out"))

    def read(self, folder: Path) -> Iterator[RecordedRun]:
        for file in (folder / "out").glob("*.jsonl"):
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            yield RecordedRun(
                name=rows[0]["trial"],
                params={name: value for row in rows for name, value in row.get("params", {}).items()},
                points=[RecordedPoint(r["name"], r["step"], r["epoch"], r["value"]) for r in rows if "name" in r],
                state=rows[-1].get("state", ""),
            )
