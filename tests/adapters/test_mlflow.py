"""MLflow: what is read back is what was logged, whatever failed on the way."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from hyperhook import HyperhookError, Space, StudyRecord, TrialState
from hyperhook_adapters.mlflow import MLflow

pytestmark = [
    pytest.mark.usefixtures("offline"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow on SQLAlchemy 2.1
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One database for all tests, since its making takes seconds; each test has studies of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def new(uri):
    """Make a tracker, as each process has its own."""
    return lambda: pickle.loads(pickle.dumps(MLflow(uri)))


@pytest.fixture
def tracker(new):
    return new()


@pytest.fixture
def client(uri, offline):
    from mlflow import MlflowClient

    return MlflowClient(uri)


TRIALS = "tags.`hyperhook.number` != ''"
"""Leaves out the studies' parent runs."""


@pytest.fixture
def study(request):
    return request.node.name


@pytest.fixture
def read(uri, readers, study):
    return lambda name=study: [run for run in readers.read_mlflow(uri) if run.study == name]


def same(run, script, readers):
    params, points = script.expected(readers)
    assert run.points == points
    assert run.params == params
    return True


def test_a_trial_is_read_back_as_it_was_logged(tracker, forward, training, study, read, readers):
    script = training(study=study).end(value=0.11, step=11, epoch=2)
    forward(tracker, script).send()
    (run,) = read()
    assert same(run, script, readers)
    assert (run.name, run.status, run.native, run.value) == (f"{study}-0", "COMPLETE", "FINISHED", 0.11)


def test_times_and_tags_are_the_trials_own(tracker, forward, training, study, client):
    script = training(3, study=study).end(TrialState.PRUNED, value=0.11, step=11, epoch=2)
    forward(tracker, script).send()
    experiment = client.get_experiment_by_name(study)
    (run,) = client.search_runs([experiment.experiment_id], TRIALS)
    assert run.info.start_time == script.trial.started_time * 1000
    assert run.info.end_time == round(script.trial.finished_time * 1000)
    logged = [
        round(c["time"] * 1000) for hook, c in script.calls if hook == "metrics_logged" and "lr-Adam" in c["metrics"]
    ]
    assert [metric.timestamp for metric in client.get_metric_history(run.info.run_id, "lr-Adam")] == logged
    epochs = client.get_metric_history(run.info.run_id, "epoch")
    assert [(metric.step, metric.value) for metric in epochs] == [(step, step // 4) for step in range(12)]
    tags = {key: value for key, value in run.data.tags.items() if key.startswith("hyperhook.")}
    assert tags == {
        "hyperhook.trial_id": script.trial.id,
        "hyperhook.number": "3",
        "hyperhook.state": "PRUNED",
        "hyperhook.objective": "0.11",
        "hyperhook.objective_step": "11",
        "hyperhook.objective_epoch": "2",
    }


@pytest.mark.parametrize(
    ("state", "native"),
    [("COMPLETE", "FINISHED"), ("PRUNED", "FINISHED"), ("FAILED", "FAILED"), ("KILLED", "KILLED")],
)
def test_each_final_state(tracker, forward, script, study, read, client, state, native):
    forward(tracker, script(study=study).log({"loss": 1.0}, 0).end(TrialState(state), error="é" * 9000)).send()
    (run,) = read()
    assert (run.status, run.native) == (state, native)
    (found,) = client.search_runs([client.get_experiment_by_name(study).experiment_id], TRIALS)
    assert found.data.tags["hyperhook.error"].endswith("… (9000 characters)")


def test_a_running_trial_is_running(tracker, forward, training, study, read):
    forward(tracker, training(study=study)).send()
    assert [(run.status, run.native) for run in read()] == [("", "RUNNING")]


@pytest.mark.parametrize("again", ["same process", "new process"])
def test_a_batch_that_was_sent_and_not_confirmed_is_there_once(
    tracker, new, forward, training, study, read, readers, again
):
    script = training(study=study).end()
    forwarder = forward(tracker, script).send(10).send(7, confirm=False)
    forwarder.restart(tracker if again == "same process" else new()).send()
    (run,) = read()
    assert same(run, script, readers)


def test_a_flush_that_fails_half_way_is_there_once(tracker, forward, training, study, read, readers, monkeypatch):
    script = training(study=study, steps=20).end()
    monkeypatch.setattr("hyperhook_adapters.mlflow._METRICS_PER_CALL", 5)
    forwarder = forward(tracker, script).send(10)
    log_batch, calls = tracker._client.log_batch, []

    def failing(*arguments, **options):
        calls.append(options)
        if len(calls) == 3:
            raise ConnectionError("the server went away")
        log_batch(*arguments, **options)

    monkeypatch.setattr(tracker._client, "log_batch", failing)
    with pytest.raises(ConnectionError):
        forwarder.send()
    forwarder.restart().send()
    (run,) = read()
    assert same(run, script, readers)
    assert all(len(options.get("metrics", ())) <= 5 for options in calls)


def test_a_crash_between_the_runs_creation_and_the_first_confirmation(
    tracker, new, forward, training, study, read, readers
):
    script = training(study=study).end()
    forward(tracker, script).send_without_flush(1).restart(new()).send_without_flush(3).restart(new()).send()
    (run,) = read()
    assert same(run, script, readers)


def test_the_whole_trial_again(tracker, new, forward, training, study, read, readers):
    script = training(study=study).end()
    forward(tracker, script).send()
    forward(new(), script).send()
    (run,) = read()
    assert same(run, script, readers)
    assert run.native == "FINISHED"


def test_a_run_that_was_deleted_meanwhile_is_sent_again(tracker, new, forward, training, study, read, readers, client):
    script = training(study=study).end()
    forwarder = forward(tracker, script).send(10)
    client.delete_run(forwarder.state["run_id"])
    forwarder.restart(new()).send()
    (run,) = read()
    assert same(run, script, readers)


def test_resume_asks_for_everything_where_the_database_is_another(tracker, new, forward, training, study):
    forwarder = forward(tracker, training(study=study)).send(10)
    forwarder.state = {"run_id": "0" * 32}
    assert forwarder.restart(new()).cursor == 0


def test_an_experiment_that_was_deleted_is_restored(new, forward, training, study, read, client, caplog):
    forward(new(), training(0, study=study).end()).send()
    client.delete_experiment(client.get_experiment_by_name(study).experiment_id)
    forward(new(), training(1, study=study).end()).send()
    assert "was deleted; restored" in caplog.text
    assert [run.name for run in read()][-1] == f"{study}-1"


def test_an_experiment_that_another_process_creates_meanwhile_is_taken(new, study, client, monkeypatch):
    tracker, record = new(), StudyRecord(study, Space({}))
    tracker._connect()
    find, created = tracker._client.get_experiment_by_name, []

    def slow(name):
        found = find(name)
        if not created:
            created.append(client.create_experiment(name))
        return found

    monkeypatch.setattr(tracker._client, "get_experiment_by_name", slow)
    tracker.study_started(record)
    assert tracker._experiment(study) == created[0]


def test_batches_of_trials_interleave(tracker, forward, training, study, read, readers):
    scripts = [training(number, study=study).end() for number in range(3)]
    forwarders = [forward(tracker, script) for script in scripts]
    for size in (5, 9, None):
        for forwarder in forwarders:
            forwarder.send(size)
    assert all(same(run, script, readers) for run, script in zip(read(), scripts, strict=True))


def test_nan_is_kept_once_and_infinities_are_large(tracker, new, forward, script, study, read, client):
    made = script(study=study).log({"a": math.nan, "b": math.inf, "c": -math.inf}, 0, 0).end()
    forward(tracker, made).send()
    forward(new(), made).send()
    (run,) = read()
    assert [point.value for point in run.points] == [math.nan, math.inf, -math.inf]
    (found,) = client.search_runs([client.get_experiment_by_name(study).experiment_id], TRIALS)
    assert found.data.metrics["b"] == sys.float_info.max


def test_equal_points_of_one_millisecond_are_all_there(tracker, new, forward, script, study, read):
    made = script(study=study)
    for _ in range(3):
        made.log({"loss": 0.5}, 1, 0)
    for _, call in made.calls[1:]:
        call["time"] = 1.7e9
    made.end()
    forward(tracker, made).send()
    forward(new(), made).send()
    (run,) = read()
    assert len(run.points) == 3


def test_steps_that_repeat_or_go_back_keep_every_point(tracker, forward, script, study, read, readers):
    made = script(study=study)
    for step in (5, 5, 3, 5):
        made.log({"loss": 0.5}, step, 1)
    forward(tracker, made.end()).send()
    assert same(read()[0], made, readers)


def test_no_metrics_at_all(tracker, forward, script, study, read):
    forward(tracker, script(params={"lr": 0.1}, study=study).end(TrialState.FAILED)).send()
    (run,) = read()
    assert (run.points, run.params, run.status) == ([], {"lr": "0.1"}, "FAILED")


def test_two_hundred_params_and_a_long_one(tracker, new, forward, script, study, read, readers):
    params = {f"p{number}": number / 3 for number in range(198)}
    made = script(params={**params, "none": None, "flag": False}, study=study).log_params({"long": "é" * 6001}).end()
    forward(tracker, made).send()
    forward(new(), made).send()
    (run,) = read()
    long = run.params.pop("long")
    assert len(long) == 6000
    assert long.endswith("é… (6001 characters)")
    assert run.params == {
        name: readers.text(value) for name, value in sorted({**made.params}.items()) if name != "long"
    }


NAMES = [
    *("größe ✓", "a%b", "a@b", "a_0x25_b", "_0x", "a_0x4%", "__0x1_", "a b:c-d.e/f", "hyperhook/objective"),
    *(
        "/a",
        "a/",
        "a//b",
        "/",
        "//",
        ".",
        "..",
        "./a",
        "../a",
        "a/./b",
        "a/..",
        "...",
        "..a",
        "a/..b",
        ".a",
        "a.",
        "\n",
        "tab\t",
    ),
    "x" * 300,
    "x" * 301,
]


def test_metrics_and_params_may_have_any_name(tracker, forward, script, study, read):
    made = script(params=dict.fromkeys(NAMES, "v"), study=study).log(dict.fromkeys(NAMES, 1.0), 0).end()
    forward(tracker, made).send()
    (run,) = read()
    long = {name for name in run.params if name.startswith("xxx")}
    assert len(long) == 2
    assert set(run.params) == {point.name for point in run.points} == {*NAMES[:-2]} | long
    assert len(run.points) == len(NAMES)


@pytest.mark.parametrize("name", ["größe/✓ '%\"", "x" * 600])
def test_studies_may_have_any_name(tracker, new, forward, script, uri, readers, name):
    for number, process in enumerate((tracker, new())):
        forward(process, script(number, study=name).log({"loss": 1.0}, 0).end()).send()
    found = [run for run in readers.read_mlflow(uri) if run.study[:20] == name[:20]]
    assert len(found) == 2
    assert len({run.study for run in found}) == 1


def test_a_metric_called_epoch_takes_the_place_of_ours(tracker, forward, script, study, client):
    forward(tracker, script(study=study).log({"epoch": 0.25, "loss": 1.0}, 3, 0).end()).send()
    (run,) = client.search_runs([client.get_experiment_by_name(study).experiment_id], TRIALS)
    assert [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "epoch")] == [
        (3, 0.25)
    ]


def test_events_of_an_unknown_trial_are_refused(tracker, script, study):
    with pytest.raises(HyperhookError, match="not open here"):
        tracker.metrics_logged(script(study=study).trial, {"loss": 1.0}, 0, None, 0.0)


def test_a_trial_that_goes_on_after_its_end_asks_to_be_resumed(tracker, forward, script, study, read, readers):
    made = script(study=study).log({"loss": 1.0}, 0).end(TrialState.KILLED)
    forwarder = forward(tracker, made).send()
    made.trial = replace(made.trial, state=TrialState.RUNNING)
    made.log({"loss": 0.5}, 1).end()
    with pytest.raises(HyperhookError):
        forwarder.send()
    forwarder.restart().send()
    (run,) = read()
    assert same(run, made, readers)
    assert run.status == "COMPLETE"


def test_the_uri_is_mlflows_own_unless_it_is_given(monkeypatch, tmp_path, script, study, readers):
    pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/env.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    tracker, trial = MLflow(), script(study=study).trial
    tracker.trial_started(trial)
    tracker.flush(trial)
    tracker.close()
    assert [run.name for run in readers.read_mlflow(uri)] == [f"{study}-0"]


def test_naming_the_tracker_loads_nothing_heavy():
    code = (
        "import sys, hyperhook_adapters.mlflow as m; m.MLflow();"
        "print([name for name in ('mlflow', 'numpy', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_address_that_cannot_be_is_told_at_once(tmp_path):
    with pytest.raises(HyperhookError, match=r"MLflow: tracking_uri: expected an address such as .* got .*Path"):
        MLflow(tmp_path)
