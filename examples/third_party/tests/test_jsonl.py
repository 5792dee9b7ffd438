import json
from pathlib import Path

import hyperhook as hh
from hyperhook_jsonl import JsonLines


def rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_point_arrives_once(tmp_path: Path) -> None:
    with hh.Study("s", trackers=[JsonLines(str(tmp_path / "out"))], home=tmp_path, delivery="inline") as study:
        with study.trial() as trial:
            for step in range(3):
                trial.log({"loss": 1.0 / (step + 1)}, step=step, epoch=0)
    points = [row for row in rows(tmp_path / "out" / "s-0.jsonl") if "name" in row]
    assert [(point["step"], point["value"]) for point in points] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]


def test_what_was_not_confirmed_is_dropped_before_it_comes_again(tmp_path: Path) -> None:
    tracker = JsonLines(str(tmp_path))
    trial = hh.TrialRecord("id", 0, "s")
    tracker.trial_started(trial)
    confirmed = tracker.flush(trial)
    tracker.metrics_logged(trial, {"loss": 1.0}, 0, None)
    assert JsonLines(str(tmp_path)).resume(trial, confirmed)
    assert len(rows(tmp_path / "s-0.jsonl")) == 1


def test_a_lost_file_is_written_again_from_the_beginning(tmp_path: Path) -> None:
    assert JsonLines(str(tmp_path)).resume(hh.TrialRecord("id", 0, "s"), {"size": 10}) is False
