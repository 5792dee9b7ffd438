"""Export: every number survives the way out and back, in each format, in bounded memory."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import random
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hyperhook as hh
from hyperhook import cli, export, journal
from hyperhook.errors import MissingLibraryError
from hyperhook.events import MetricsLogged, encode
from hyperhook.home import Home
from hyperhook.records import StudyRecord
from hyperhook.study import Study
from hyperhook.workspace import JOURNAL

OpenStudy = Callable[..., Study]
Command = Callable[..., str]

ODD = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.nan, math.inf, -math.inf]
TRIAL_COLUMNS = [
    *(
        "trial",
        "number",
        "state",
        "value",
        "stderr",
        "step",
        "epoch",
        "started_time",
        "finished_time",
        "duration_seconds",
        "error",
    )
]
POINT_COLUMNS = ["trial", "time", "step", "epoch", "name", "value"]


@pytest.fixture
def command(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs ``hyperhook export`` and returns what it printed; `fails` where it must."""
    monkeypatch.setenv("HYPERHOOK_HOME", str(home))

    def run(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["hyperhook", "export", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert ended.value.code == code, shown
        return shown.err if code else shown.out

    return run


@pytest.fixture
def digits(study: OpenStudy) -> Study:
    """Four trials: two that completed, one that failed, one that runs."""
    space = {"net": hh.Choice({"cnn": {"width": hh.Int(1, 9)}, "mlp": {}}), "lr": hh.Float(0, 1)}
    made = study("digits", space=space, seed=0)
    for number in range(2):
        trial = made.ask()
        trial.log_params({"model": {"depth": number + 2}})
        for step in range(3):
            metrics = {"loss": 1 / (3 + step), 'odd, "name"\n': ODD[step + 5]}
            trial.log(metrics, step=step, epoch=step // 2, stderr=None if number else step / 3)
        made.tell(trial)
    made.tell(made.ask(), state=hh.TrialState.FAILED, error='ValueError: "no", said it')
    made.ask()
    return made


def facts(made: Study) -> Iterator[dict[str, Any]]:
    """What each trial's row should hold."""
    for trial in made.trials:
        known = dict(trial.params) | ({"model/depth": trial.number + 2} if trial.number < 2 else {})
        yield {
            **{name: getattr(trial, name) for name in ("number", "value", "stderr", "step", "epoch", "error")},
            "trial": trial.name,
            "state": str(trial.state),
            **{f"param.{name}": known.get(name) for name in ("net", "width", "lr", "model/depth")},
        }


def test_csv_has_a_row_for_each_trial(digits: Study, command: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(command("digits"), newline="")))
    assert list(rows[0])[:11] == TRIAL_COLUMNS
    assert set(list(rows[0])[11:]) == {"param.net", "param.width", "param.lr", "param.model/depth"}
    for row, wanted in zip(rows, facts(digits), strict=True):
        assert {name: row[name] for name in wanted} == {
            name: "" if value is None else str(value) for name, value in wanted.items()
        }
    assert [row["finished_time"] == "" for row in rows] == [False] * 3 + [True]
    assert all(row["started_time"].endswith("+00:00") for row in rows)


def test_json_has_an_object_for_each_trial(digits: Study, command: Command) -> None:
    rows = json.loads(command("digits", "--format", "json"))
    assert list(rows[0])[:11] == TRIAL_COLUMNS
    for row, wanted in zip(rows, facts(digits), strict=True):
        assert {name: row[name] for name in wanted} == wanted


def test_a_dataframe_has_the_types_that_pandas_users_expect(digits: Study) -> None:
    pytest.importorskip("pandas")
    frame = digits.to_dataframe()
    kinds = frame.dtypes.astype(str).to_dict()
    assert kinds["number"] == "int64"
    assert kinds["value"] == kinds["stderr"] == kinds["duration_seconds"] == kinds["param.lr"] == "float64"
    assert kinds["step"] == kinds["epoch"] == kinds["param.width"] == kinds["param.model/depth"] == "Int64"
    assert kinds["started_time"] == kinds["finished_time"] == "datetime64[us, UTC]"
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    for row, wanted, trial in zip(found, facts(digits), digits.trials, strict=True):
        assert {name: row[name] for name in wanted} == wanted
        assert row["started_time"].timestamp() == pytest.approx(trial.started_time, abs=2e-6)
        if trial.finished_time is not None:
            assert row["duration_seconds"] == trial.finished_time - trial.started_time


def test_a_dataframe_of_points_joins_the_one_of_trials(digits: Study) -> None:
    pytest.importorskip("pandas")
    points = digits.to_dataframe(points=True)
    assert list(points.columns) == POINT_COLUMNS
    joined = points.merge(digits.to_dataframe()[["trial", "param.lr"]], on="trial")
    assert len(joined) == len(points) == 12
    assert joined[joined["trial"] == "digits-1"]["param.lr"].unique().tolist() == [digits.trials[1].params["lr"]]


def test_what_trials_are_judged_by_are_columns(study: OpenStudy, command: Command) -> None:
    pytest.importorskip("pandas")
    made = study(space={}, constraints={"ms": ("<=", 20), "auc": (">=", 0.8)})
    made.tell(made.ask(), {"loss": 0.5, "ms": 12.5, "auc": 0.875})
    made.tell(made.ask(), {"loss": 0.25, "ms": 25, "auc": 0.875})
    made.tell(made.ask(), 0.75, state=hh.TrialState.PRUNED)
    made.tell(made.ask(), state=hh.TrialState.FAILED)
    rows = json.loads(command("s", "--format", "json"))
    assert list(rows[0]) == [*TRIAL_COLUMNS, "metric.ms", "metric.auc", "feasible"]
    assert [(row["metric.ms"], row["feasible"]) for row in rows] == [
        (12.5, True),
        (25.0, False),
        (None, False),
        (None, None),
    ]
    kinds = made.to_dataframe().dtypes.astype(str).to_dict()
    assert (kinds["metric.ms"], kinds["feasible"]) == ("float64", "boolean")


def test_a_study_without_trials_is_a_table_without_rows(study: OpenStudy, command: Command) -> None:
    made = study("empty")
    assert json.loads(command("empty", "--format", "json")) == []
    assert command("empty", "--points").splitlines() == [",".join(POINT_COLUMNS)]
    pytest.importorskip("pandas")
    frame = made.to_dataframe()
    assert (list(frame.columns), len(frame)) == (TRIAL_COLUMNS, 0)


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_every_point_comes_back_as_itself(
    study: OpenStudy, command: Command, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    monkeypatch.setattr(export, "_ROW_GROUP", 100)
    chance = random.Random(0)
    values = ODD + [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(500)]
    made = study("s", space=None, objective=None)
    with made.trial() as trial:
        for step, value in enumerate(values):
            trial.log({"größe, \r\n": value}, step=step, epoch=None if step % 2 else step)
    file = tmp_path / f"points.{suffix}"
    assert command("s", "--points", "--output", str(file)) == ""
    rows = read_back(file)
    assert list(rows[0]) == POINT_COLUMNS
    assert {row["trial"] for row in rows} == {"s-0"}
    assert [row["name"] for row in rows] == ["größe, \r\n"] * len(values)
    assert [repr(float(row["value"])) for row in rows] == [repr(float(value)) for value in values]
    assert [int(row["step"]) for row in rows] == list(range(len(values)))
    assert [row["epoch"] in (None, "") for row in rows] == [step % 2 == 1 for step in range(len(values))]
    times = [float(row["time"]) for row in rows]
    assert times == sorted(times)
    assert min(times) >= made.trials[0].started_time


def read_back(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".json":

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(file.read_text(), parse_constant=refuse)  # type: ignore[no-any-return]
    if file.suffix == ".csv":
        with open(file, encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))
    import pyarrow.parquet

    return pyarrow.parquet.read_table(file).to_pylist()  # type: ignore[no-any-return]


def test_parquet_holds_the_trials_with_their_types(digits: Study, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    file = tmp_path / "trials.parquet"
    command("digits", "--output", str(file))
    for row, wanted, trial in zip(read_back(file), facts(digits), digits.trials, strict=True):
        assert {name: row[name] for name in wanted} == wanted
        assert row["started_time"].timestamp() == pytest.approx(trial.started_time, abs=2e-6)


@pytest.mark.parametrize(
    ("values", "kept", "dtype"),
    [
        ([1, "auto"], ["1", "auto"], "object"),
        ([1, 0.5], [1.0, 0.5], "float64"),
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"], "object"),
        ([2**60 + 1, None], [2**60 + 1, None], "Int64"),
        ([2**60 + 1, 1], [2**60 + 1, 1], "int64"),
        ([2**70, 1], [str(2**70), "1"], "object"),
        ([True, False], [True, False], "bool"),
        ([True, None], [True, None], "boolean"),
        ([True, 1], ["True", "1"], "object"),
        ([None, None], [None, None], "object"),
    ],
)
def test_params_of_several_kinds_lose_nothing(
    study: OpenStudy, command: Command, tmp_path: Path, values: list[Any], kept: list[Any], dtype: str
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    made = study("s", space=None, objective=None)
    for value in values:
        with made.trial() as trial:
            trial.log_params({"p": value})
    command("s", "--output", str(tmp_path / "t.parquet"))
    assert [row["param.p"] for row in read_back(tmp_path / "t.parquet")] == kept
    assert [row["param.p"] for row in json.loads(command("s", "--format", "json"))] == values
    column = made.to_dataframe()["param.p"]
    assert str(column.dtype) == dtype
    assert column.astype(object).where(column.notna(), None).tolist() == values


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_points_are_written_in_bounded_memory(
    study: OpenStudy, home: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")
    monkeypatch.setattr(export, "_ROW_GROUP", 200)
    monkeypatch.setattr(journal, "_BLOCK", 1 << 14)
    made = study("s", space=None, objective=None)
    with made.trial() as trial:
        pass
    path, peaks = Home(home).trial(trial.id) / JOURNAL, []
    for count in (10, 1000, 8000):  # the first one imports what there is to import
        grow(path, count)
        peaks.append(peak(Home(home), made.record(), form, tmp_path / f"{count}.{form}"))
    assert peaks[2] < 1.2 * peaks[1] + 100_000
    assert (tmp_path / f"8000.{form}").stat().st_size > 4 * (tmp_path / f"1000.{form}").stat().st_size


def grow(path: Path, count: int) -> None:
    lines = (encode(MetricsLogged(time=1.0, metrics={"loss": step / 7}, step=step)) for step in range(count))
    with open(path, "ab") as file:
        file.writelines(lines)


def peak(home: Home, record: StudyRecord, form: Any, output: Path) -> int:
    """Return how many bytes Python held at the most while the points were written."""
    tracemalloc.start()
    try:
        export.write(export.point_table(home, record), form, output)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_format_follows_the_file_s_name_unless_it_is_said(digits: Study, command: Command, tmp_path: Path) -> None:
    command("digits", "--output", str(tmp_path / "a.json"))
    command("digits", "--output", str(tmp_path / "b.json"), "--format", "csv")
    command("digits", "--output", str(tmp_path / "c.txt"))
    assert len(json.loads((tmp_path / "a.json").read_text())) == 4
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "c.txt").read_bytes()
    assert (tmp_path / "c.txt").read_text().startswith("trial,number,state")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope",), "hyperhook: there is no study 'nope' here; there are: s"),
        (("s", "--format", "parquet"), "hyperhook: export: Parquet is no text; name a file by --output"),
        (("s", "--output", "/nowhere/t.csv"), "hyperhook: export: '/nowhere/t.csv' cannot be written: No such file"),
    ],
)
def test_what_goes_wrong_is_one_line(
    study: OpenStudy, command: Command, arguments: tuple[str, ...], message: str
) -> None:
    study("s")
    shown = command(*arguments, code=2)
    assert shown.startswith(message)
    assert shown.count("\n") == 1


def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it(
    digits: Study, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=r"to_dataframe needs 'pandas', .*: pip install pandas$"):
        digits.to_dataframe()
    shown = command("digits", "--output", str(tmp_path / "t.parquet"), code=2)
    assert "Parquet needs 'pyarrow', not installed here: pip install 'hyperhook[parquet]'" in shown
    assert not (tmp_path / "t.parquet").exists()


def test_a_journal_that_is_gone_is_said_and_the_rest_is_there(
    digits: Study, command: Command, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Home(home).trial(digits.trials[0].id) / JOURNAL
    gone.unlink()
    rows = list(csv.DictReader(io.StringIO(command("digits", "--points"), newline="")))
    assert {row["trial"] for row in rows} == {"digits-1"}
    assert f"{gone} is gone: what trial digits-0 logged cannot be exported" in caplog.text


def test_a_queued_trial_has_logged_nothing_and_nothing_is_missed(
    study: OpenStudy, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    made = study(name="waiting", space={"x": hh.Float(0.0, 1.0)})
    made.enqueue({"x": 0.5})
    assert list(csv.DictReader(io.StringIO(command("waiting", "--points"), newline=""))) == []
    assert caplog.text == ""


def test_a_metric_whose_name_looks_like_an_event_is_no_param(study: OpenStudy, command: Command) -> None:
    made = study("s", space=None, objective=None)
    with made.trial() as trial:
        trial.log({"params_logged": 1.0}, step=0)
    assert list(json.loads(command("s", "--format", "json"))[0]) == TRIAL_COLUMNS


def test_a_torn_journal_is_exported_up_to_its_tear(study: OpenStudy, command: Command, home: Path) -> None:
    made = study("s", space=None, objective=None)
    with made.trial() as trial:
        trial.log({"m": 1.0}, step=0)
    with open(Home(home).trial(trial.id) / JOURNAL, "ab") as file:
        file.write(b'{"event":"params_logged","time":1.0,"par')
    assert [row["name"] for row in json.loads(command("s", "--points", "--format", "json"))] == ["m"]
    assert len(json.loads(command("s", "--format", "json"))) == 1


def test_the_command_as_users_run_it_and_a_real_forwarder_beside(
    home: Path, tmp_path: Path, study: OpenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = study("s", trackers=["csv"])
    made.run(lambda trial: trial.log({"loss": trial.params["x"]}, step=0), trials=2)
    done = subprocess.run(
        [sys.executable, "-m", "hyperhook", "export", "s", "--points", "--home", str(home)],
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    exported = list(csv.reader(io.StringIO(done.stdout.decode(), newline="")))[1:]
    tracked = []
    for trial in made.trials:
        with open(tmp_path / "csv" / "s" / f"{trial.name}.csv", newline="") as file:
            tracked += [[trial.name, *row] for row in list(csv.reader(file))[1:]]
    assert exported == tracked
    assert [float(row[-1]) for row in exported] == [trial.params["x"] for trial in made.trials]


def test_a_reader_that_goes_away_is_no_error(home: Path, study: OpenStudy) -> None:
    made = study("s", space=None, objective=None)
    with made.trial() as trial:
        pass
    grow(Home(home).trial(trial.id) / JOURNAL, 20_000)
    command = f"{sys.executable} -m hyperhook export s --points --home '{home}' | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == ",".join(POINT_COLUMNS)
    assert "Traceback" not in done.stderr
