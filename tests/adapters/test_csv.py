"""CSV: what pandas reads back, whatever crashed."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import pickle
import random
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas
import pytest

import hyperhook as hh
from hyperhook_adapters.csv import Csv

Forward = Callable[..., Any]
Script = Callable[..., Any]


def rows(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def points(file: Path) -> list[tuple[str, int, int | None, str]]:
    """Return the points of a file; the values as texts, so that NaN equals itself."""
    return [
        (row["name"], int(row["step"]), int(row["epoch"]) if row["epoch"] else None, repr(float(row["value"])))
        for row in rows(file)
    ]


def logged(script: Any) -> list[tuple[str, int, int | None, str]]:
    return [(name, step, epoch, repr(value)) for name, step, epoch, value in script.points]


def test_a_trial_is_there_whole(tmp_path: Path, forward: Forward, training: Script) -> None:
    script = training(3).end(value=0.25, step=11, epoch=2)
    forward(Csv(tmp_path), script).send()
    assert points(tmp_path / "digits" / "digits-3.csv") == logged(script)
    (row,) = rows(tmp_path / "digits" / "trials.csv")
    started, finished = row.pop("started_time"), row.pop("finished_time")
    assert datetime.fromisoformat(started).timestamp() == script.trial.started_time
    assert datetime.fromisoformat(finished).timestamp() == pytest.approx(script.trial.finished_time, abs=1e-6)
    assert row == {
        "trial": "digits-3",
        "number": "3",
        "id": script.trial.id,
        "state": "COMPLETE",
        "value": "0.25",
        "step": "11",
        "epoch": "2",
        "error": "",
        "note": "",
        **{f"param.{name}": str(value) for name, value in script.params.items()},
    }


def test_times_are_the_events_own(tmp_path: Path, forward: Forward, script: Script) -> None:
    made = script().log({"a": 1.0}, 0).log({"a": 2.0}, 1)
    forward(Csv(tmp_path), made).send()
    times = [float(row["time"]) for row in rows(tmp_path / "digits" / "digits-0.csv")]
    assert times == [arguments["time"] for hook, arguments in made.calls if hook == "metrics_logged"]


def test_every_number_comes_back_as_itself(tmp_path: Path, forward: Forward, script: Script) -> None:
    chance = random.Random(0)
    odd = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.nan, math.inf, -math.inf]
    odd += [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(2000)]
    made = script()
    for step, value in enumerate(odd):
        made.log({"m": value}, step)
    forward(Csv(tmp_path), made).send()
    file = tmp_path / "digits" / "digits-0.csv"
    assert {row["value"] for row in rows(file)} >= {"nan", "inf", "-inf"}
    assert points(file) == logged(made)
    read = pandas.read_csv(file)
    assert list(map(repr, read["value"].tolist())) == list(map(repr, map(float, odd)))


@pytest.mark.parametrize("name", ["val/AR@100", 'a "quoted", name', "two\nlines", "cr\rlf\r\n", "größe μ", " ", "=1+1"])
def test_any_name_comes_back(tmp_path: Path, forward: Forward, script: Script, name: str) -> None:
    made = script(params={name: name}).log({name: 0.5}, 0).end()
    forward(Csv(tmp_path), made).send()
    assert points(tmp_path / "digits" / "digits-0.csv") == [(name, 0, None, "0.5")]
    (row,) = rows(tmp_path / "digits" / "trials.csv")
    assert row[f"param.{name}"] == name


@pytest.mark.parametrize("study", ["../../etc", "/root", ".", "..", "a/b", "x" * 300, "ü" * 200, "a\0b", "trials"])
def test_no_study_s_name_leads_out_of_the_folder(tmp_path: Path, forward: Forward, script: Script, study: str) -> None:
    forward(Csv(tmp_path / "out"), script(study=study).log({"m": 1.0}, 0).end()).send()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (folder,) = (tmp_path / "out").iterdir()
    found = {path.name for path in folder.iterdir()}
    assert len(found) == 3
    assert {".trials", "trials.csv"} < found


def test_studies_that_would_share_a_folder_do_not(tmp_path: Path, forward: Forward, script: Script) -> None:
    tracker = Csv(tmp_path)
    for study in ("a/b", "a%2Fb", "x" * 300, "x" * 301):
        forward(tracker, script(study=study)).send()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("confirm", [True, False])
@pytest.mark.parametrize("new_process", [True, False])
def test_each_point_is_there_once_wherever_it_crashes(
    tmp_path: Path, forward: Forward, training: Script, confirm: bool, new_process: bool
) -> None:
    script = training().end(value=0.5, step=3)
    for crash in range(2, len(script.calls)):
        folder = tmp_path / str(crash)
        sender = forward(Csv(folder), script).send(crash // 2)
        if confirm:
            sender.send_without_flush(crash - crash // 2)
        else:
            sender.send(crash - crash // 2, confirm=False)
        if new_process:
            sender.tracker.close()  # what it had written has reached the file
        sender.restart(Csv(folder) if new_process else None).send()
        assert points(folder / "digits" / "digits-0.csv") == logged(script)
        (row,) = rows(folder / "digits" / "trials.csv")
        assert (row["state"], row["value"]) == ("COMPLETE", "0.5")
        assert {name.removeprefix("param.") for name in row if name.startswith("param.")} == script.params.keys()


def test_a_half_written_line_is_cut_off(tmp_path: Path, forward: Forward, training: Script) -> None:
    script = training()
    sender = forward(Csv(tmp_path), script).send(10)
    with open(tmp_path / "digits" / "digits-0.csv", "a") as file:
        file.write('1700000000.5,3,0,"tra')
    sender.restart(Csv(tmp_path)).send()
    assert points(tmp_path / "digits" / "digits-0.csv") == logged(script)


@pytest.mark.parametrize("damage", ["points gone", "points short", "row gone", "row torn"])
def test_what_is_damaged_is_sent_again(tmp_path: Path, forward: Forward, training: Script, damage: str) -> None:
    script = training().end()
    sender = forward(Csv(tmp_path), script).send(10)
    file, row = tmp_path / "digits" / "digits-0.csv", tmp_path / "digits" / ".trials" / "digits-0.json"
    if damage.startswith("points"):
        file.write_text("") if damage.endswith("short") else file.unlink()
    else:
        row.write_text("") if damage.endswith("torn") else row.unlink()
    sender.restart(Csv(tmp_path))
    assert sender.cursor == 0
    sender.send()
    assert points(file) == logged(script)
    assert [found["state"] for found in rows(tmp_path / "digits" / "trials.csv")] == ["COMPLETE"]


def test_a_trial_that_goes_on_after_its_end_keeps_what_it_has(tmp_path: Path, forward: Forward, script: Script) -> None:
    made = script(params={"x": 1}).log({"m": 1.0}, 0).end(hh.TrialState.KILLED, error="its process died")
    sender = forward(Csv(tmp_path), made).send()
    made.log({"m": 2.0}, 1).end(value=2.0, error=None)
    sender.restart(Csv(tmp_path)).send()
    assert points(tmp_path / "digits" / "digits-0.csv") == logged(made)
    (row,) = rows(tmp_path / "digits" / "trials.csv")
    assert (row["state"], row["error"], row["param.x"]) == ("COMPLETE", "", "1")


def test_trials_interleave_and_are_sorted_by_number(tmp_path: Path, forward: Forward, training: Script) -> None:
    tracker = Csv(tmp_path)
    scripts = [training(number).end(value=number / 10) for number in (10, 2, 0)]
    senders = [forward(tracker, script) for script in scripts]
    for count in (3, 5):
        for sender in senders:
            sender.send(count)
    for sender in senders:
        sender.send()
    for script in scripts:
        assert points(tmp_path / "digits" / f"{script.trial.name}.csv") == logged(script)
    assert [row["trial"] for row in rows(tmp_path / "digits" / "trials.csv")] == ["digits-0", "digits-2", "digits-10"]


def test_params_that_some_trials_lack_are_empty(tmp_path: Path, forward: Forward, script: Script) -> None:
    tracker = Csv(tmp_path)
    forward(tracker, script(0, params={"net": "cnn", "width": 3}).end()).send()
    forward(tracker, script(1, params={"net": "mlp"}).log_params({"model/depth": 2}).end()).send()
    found = rows(tmp_path / "digits" / "trials.csv")
    assert [(row["param.net"], row["param.width"], row["param.model/depth"]) for row in found] == [
        ("cnn", "3", ""),
        ("mlp", "", "2"),
    ]


def test_a_param_named_like_a_column_is_a_column_of_its_own(tmp_path: Path, forward: Forward, script: Script) -> None:
    forward(Csv(tmp_path), script(params={"state": "solid", "value": 7}).end(value=0.5)).send()
    (row,) = rows(tmp_path / "digits" / "trials.csv")
    assert (row["state"], row["param.state"], row["value"], row["param.value"]) == ("COMPLETE", "solid", "0.5", "7")


def test_the_same_trial_of_another_home_gets_a_file_of_its_own(
    tmp_path: Path, forward: Forward, script: Script
) -> None:
    ours, theirs = script().log({"m": 1.0}, 0).end(), script().log({"m": 2.0}, 0).end()
    theirs.trial = replace(theirs.trial, id="feed")
    first, second = forward(Csv(tmp_path), ours), forward(Csv(tmp_path), theirs)
    for sender in (first, second, first, second):
        sender.send(1)
    for sender in (first, second):
        sender.restart(Csv(tmp_path)).send()
    assert points(tmp_path / "digits" / "digits-0.csv") == logged(ours)
    assert points(tmp_path / "digits" / "digits-0-feed.csv") == logged(theirs)
    assert {row["id"] for row in rows(tmp_path / "digits" / "trials.csv")} == {ours.trial.id, "feed"}


def test_forwarders_at_the_same_time_lose_no_row_and_a_reader_never_sees_half_a_table(
    tmp_path: Path, forward: Forward, script: Script
) -> None:
    table, seen, failed = tmp_path / "digits" / "trials.csv", Counter[int](), list[BaseException]()
    done = threading.Event()

    def deliver(first: int) -> None:
        try:
            tracker = Csv(tmp_path)
            for number in range(first, 40, 4):
                forward(tracker, script(number, params={"x": number}).log({"m": 1.0}, 0).end(value=1.0)).send()
        except BaseException as error:
            failed.append(error)

    def watch() -> None:
        while not done.is_set():
            if table.exists():
                lines = table.read_text().splitlines()
                assert {line.count(",") for line in lines} == {11}
                seen[len(lines)] += 1

    def guarded_watch() -> None:
        try:
            watch()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=deliver, args=(first,)) for first in range(4)]
    watcher = threading.Thread(target=guarded_watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join(60)
    done.set()
    watcher.join(60)
    assert failed == []
    assert seen
    assert [int(row["param.x"]) for row in rows(table)] == list(range(40))
    assert {row["state"] for row in rows(table)} == {"COMPLETE"}


def test_rows_of_trials_that_did_not_change_are_not_read_again(
    tmp_path: Path, forward: Forward, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, loaded = Csv(tmp_path), list[int]()
    for number in range(5):
        forward(tracker, script(number).end()).send()
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: loaded.append(1) or loads(text))
    forward(tracker, script(5).end()).send()
    assert len(loaded) < 5
    assert len(rows(tmp_path / "digits" / "trials.csv")) == 6


def test_it_says_where_it_writes_and_travels_to_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = Csv()
    assert tracker.options() == {"folder": str(tmp_path / "csv"), "format": "csv"}
    assert Csv(**tracker.options()).options() == tracker.options()  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(tracker)).options() == tracker.options()


def test_metrics_of_a_trial_that_did_not_start_are_refused(tmp_path: Path, script: Script) -> None:
    with pytest.raises(hh.HyperhookError, match="'digits-0' is not open here"):
        Csv(tmp_path).metrics_logged(script().trial, {"m": 1.0}, 0, None, 0.0)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(hh.HyperhookError, match=r"format: expected 'csv' or 'parquet', got 'xls'"):
        Csv(format="xls")  # type: ignore[arg-type]


def test_parquet_without_pyarrow_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(hh.HyperhookError, match=r"pip install 'hyperhook\[parquet\]'"):
        Csv(format="parquet")
    Csv()


def test_parquet_holds_the_same_points(
    tmp_path: Path, forward: Forward, training: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    monkeypatch.setattr("hyperhook_adapters.csv._ROW_GROUP", 7)
    script = training().log({"odd": math.nan, "odder": math.inf}, 12).end(value=0.5)
    sender = forward(Csv(tmp_path, format="parquet"), script).send(len(script.calls) - 1)
    file = tmp_path / "digits" / "digits-0.parquet"
    assert not file.exists()
    sender.send(confirm=False)
    assert file.exists()
    sender.restart(Csv(tmp_path, format="parquet")).send()
    found = pandas.read_parquet(file)
    assert found.dtypes.astype(str).to_dict() | {"name": ""} == {
        "time": "float64",
        "step": "int64",
        "epoch": "float64",
        "name": "",
        "value": "float64",
    }
    assert [
        (row.name, row.step, None if math.isnan(row.epoch) else int(row.epoch), repr(row.value))
        for row in map(lambda index: Point(found, index), range(len(found)))
    ] == logged(script)
    assert list(found["time"]) == [float(row["time"]) for row in rows(file.with_suffix(".csv"))]


class Point:
    """A row of a DataFrame, by the names of its columns."""

    def __init__(self, frame: pandas.DataFrame, index: int) -> None:
        self.name = frame["name"].iloc[index]
        self.step = int(frame["step"].iloc[index])
        self.epoch = float(frame["epoch"].iloc[index])
        self.value = float(frame["value"].iloc[index])


def test_parquet_of_a_trial_without_metrics_is_an_empty_table(tmp_path: Path, forward: Forward, script: Script) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    forward(Csv(tmp_path, format="parquet"), script().end()).send()
    found = pandas.read_parquet(tmp_path / "digits" / "digits-0.parquet")
    assert list(found.columns) == ["time", "step", "epoch", "name", "value"]
    assert len(found) == 0


@pytest.mark.parametrize("delivery", ["inline", "forwarder"])
def test_a_study_named_by_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: Any) -> None:
    monkeypatch.chdir(tmp_path)

    def train(trial: hh.Trial) -> None:
        trial.log_params({"depth": 2})
        for step in range(3):
            trial.log({"loss": trial.params["x"] / (step + 1), "bad": math.nan}, step=step, epoch=0)

    with hh.Study(
        "digits",
        {"x": hh.Float(1, 2)},
        hh.Minimize("loss"),
        trackers=["csv"],
        home=tmp_path / "home",
        delivery=delivery,
    ) as study:
        study.run(train, trials=2, progress=False)
        trials = study.trials
    found = pandas.read_csv(tmp_path / "csv" / "digits" / "trials.csv")
    assert found["value"].tolist() == [trial.value for trial in trials]
    assert found["param.x"].tolist() == [trial.params["x"] for trial in trials]
    assert found["param.depth"].tolist() == [2, 2]
    for trial in trials:
        curve = pandas.read_csv(tmp_path / "csv" / "digits" / f"{trial.name}.csv")
        losses = curve[curve["name"] == "loss"]
        assert losses["value"].tolist() == [trial.params["x"] / (step + 1) for step in range(3)]
        assert losses["step"].tolist() == [0, 1, 2]
        assert curve["value"].isna().sum() == 3
