"""TensorBoard: what is read back is what was logged, whatever failed on the way."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.hparams import metadata

from hyperhook import Choice, Float, HyperhookError, Int, Maximize, Space, StudyRecord, TrialRecord, TrialState
from hyperhook_adapters.tensorboard import TensorBoard


@pytest.fixture
def new(tmp_path):
    """Make a tracker, as each process has its own."""
    with ExitStack() as stack:

        def make():
            tracker = pickle.loads(pickle.dumps(TensorBoard(tmp_path / "runs")))
            stack.callback(tracker.close)
            return tracker

        yield make


@pytest.fixture
def tracker(new):
    return new()


@pytest.fixture
def read(tmp_path, readers):
    def read_back():
        return [readers.as_float32(run) for run in readers.read_tensorboard(tmp_path / "runs")]

    return read_back


def same(run, script, readers):
    params, points = script.expected(readers)
    assert run.points == readers.points((p.name, p.step, p.epoch, readers.float32(p.value)) for p in points)
    assert run.params == params
    return True


def experiment(folder):
    events = EventAccumulator(str(folder)).Reload()
    return metadata.parse_experiment_plugin_data(events.PluginTagToContent("hparams")[metadata.EXPERIMENT_TAG])


def test_a_trial_is_read_back_as_it_was_logged(tracker, forward, training, read, readers):
    script = training().end(value=0.11, step=11, epoch=2)
    forward(tracker, script).send()
    (run,) = read()
    assert same(run, script, readers)
    assert (run.name, run.study, run.status, run.native) == ("digits-0", "digits", "COMPLETE", "STATUS_SUCCESS")
    assert run.value == readers.float32(0.11)


def test_points_carry_the_events_own_time_and_each_step_its_epoch_once(tracker, forward, training, tmp_path):
    script = training().end()
    forward(tracker, script).send()
    events = EventAccumulator(str(tmp_path / "runs" / "digits" / "digits-0"), size_guidance={"scalars": 0}).Reload()
    logged = [call["time"] for hook, call in script.calls if hook == "metrics_logged" and "lr-Adam" in call["metrics"]]
    assert [event.wall_time for event in events.Scalars("lr-Adam")] == logged
    assert [(event.step, event.value) for event in events.Scalars("epoch")] == [(step, step // 4) for step in range(12)]


@pytest.mark.parametrize(
    ("state", "native"),
    [("COMPLETE", "SUCCESS"), ("PRUNED", "SUCCESS"), ("FAILED", "FAILURE"), ("KILLED", "FAILURE")],
)
def test_each_final_state(tracker, forward, script, read, state, native):
    forward(tracker, script().log({"loss": 1.0}, 0).end(TrialState(state), error="ValueError: no")).send()
    (run,) = read()
    assert (run.status, run.native) == (state, f"STATUS_{native}")


def test_a_running_trial_has_no_status(tracker, forward, training, read):
    forward(tracker, training()).send()
    assert [(run.status, run.native) for run in read()] == [("", "STATUS_RUNNING")]


@pytest.mark.parametrize("again", ["same process", "new process"])
def test_a_batch_that_was_sent_and_not_confirmed_is_there_once(tracker, new, forward, training, read, readers, again):
    script = training().end(value=0.11, step=11)
    forwarder = forward(tracker, script).send(10).send(7, confirm=False)
    forwarder.restart(tracker if again == "same process" else new()).send()
    assert same(read()[0], script, readers)


def test_resume_drops_what_was_not_confirmed_at_once(tracker, new, forward, script, read, readers):
    made, confirmed = script(), script()
    for step in range(20):
        made.log({"loss": 0.5}, step, 0)
    forwarder = forward(tracker, made).send(5).send(10, confirm=False).restart(new()).send(2)
    for step in range(forwarder.cursor - 1):
        confirmed.log({"loss": 0.5}, step, 0)
    assert same(read()[0], confirmed, readers)


def test_a_batch_that_broke_off_in_the_middle_is_there_once(tracker, forward, training, read, readers):
    script = training().end()
    forward(tracker, script).send(10).send_without_flush(5).restart().send()
    assert same(read()[0], script, readers)


def test_a_crash_before_anything_was_confirmed(tracker, new, forward, training, read, readers):
    script = training().end()
    forward(tracker, script).send(12, confirm=False).restart(new()).send()
    assert same(read()[0], script, readers)


def test_the_whole_trial_again(tracker, new, forward, training, read, readers):
    script = training().end()
    forward(tracker, script).send()
    forward(new(), script).send()
    (run,) = read()
    assert same(run, script, readers)


def test_resume_asks_for_everything_where_the_files_have_gone(tracker, new, forward, training, read, readers, tmp_path):
    script = training().end()
    forwarder = forward(tracker, script).send(10)
    for file in tmp_path.rglob("*.scalars"):
        file.unlink()
    assert forwarder.restart(new()).cursor == 0
    forwarder.send()
    assert same(read()[0], script, readers)


def test_batches_of_trials_interleave(tracker, forward, training, read, readers):
    scripts = [training(number).end() for number in range(3)]
    forwarders = [forward(tracker, script) for script in scripts]
    for size in (5, 9, None):
        for forwarder in forwarders:
            forwarder.send(size)
    assert all(same(run, script, readers) for run, script in zip(read(), scripts, strict=True))


def test_nan_and_infinities(tracker, forward, script, read, readers):
    made = script().log({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1e300}, 0, 0).end()
    forward(tracker, made).send()
    assert [point.value for point in read()[0].points] == [math.nan, math.inf, -math.inf, math.inf]


def test_steps_that_repeat_or_go_back_keep_every_point(tracker, forward, script, read, readers):
    made = script()
    for step in (5, 5, 3, 5):
        made.log({"loss": 0.5}, step, 1)
    forward(tracker, made.end()).send()
    assert same(read()[0], made, readers)


def test_no_metrics_at_all(tracker, forward, script, read):
    forward(tracker, script(params={"lr": 0.1}).end(TrialState.FAILED)).send()
    (run,) = read()
    assert (run.points, run.params, run.status) == ([], {"lr": "0.1"}, "FAILED")


def test_two_hundred_params_of_every_type(tracker, forward, script, read, readers):
    params = {f"p{number}": number / 3 for number in range(196)}
    made = script(params={**params, "none": None, "flag": False, "big": 2**70, "text": "größe, 0x"}).end()
    forward(tracker, made).send()
    assert same(read()[0], made, readers)


@pytest.mark.parametrize("study", ["größe ✓", "../../etc", "..", ".hidden", "a/b", "a%2Fb", "a\\b", "x" * 400])
def test_names_of_studies_stay_inside_the_log_directory(tracker, forward, script, read, tmp_path, study):
    forward(tracker, script(study=study).log({"loss": 1.0}, 0).end()).send()
    (run,) = read()
    assert run.name == f"{study}-0"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert all(file.parent.parent.parent == tmp_path / "runs" for file in files)
    if len(study) < 100:
        assert run.study == study


def test_different_names_have_different_folders(tracker, forward, script, read):
    for study in ("a/b", "a%2Fb", "a b", "a_b"):
        forward(tracker, script(study=study).log({"loss": 1.0}, 0).end()).send()
    assert len(read()) == 4


def test_another_homes_trial_of_the_same_name_is_left_alone(tracker, new, forward, training, read, readers):
    first, second = training().end(), training(7).end()
    second.trial = TrialRecord(
        **{name: getattr(second.trial, name) for name in ("id", "study", "params", "state")}, number=0
    )
    forward(tracker, first).send()
    forward(tracker, second).send(5).send(6, confirm=False).restart(new()).send()
    assert sorted(run.name for run in read()) == ["digits-0", "digits-0"]
    assert same(read()[0], first, readers)
    assert same(read()[1], second, readers)


def test_metrics_may_have_any_name(tracker, forward, script, read, readers):
    names = ["größe ✓", "a/b", "%", "", "hyperhook/objective", "%hyperhook/objective", "hyperhook/state", "../x"]
    made = script().log({name: 1.0 for name in names if name}, 0).end(value=2.0, step=0)
    forward(tracker, made).send()
    (run,) = read()
    assert same(run, made, readers)
    assert run.value == 2.0


def test_a_metric_called_epoch_takes_the_place_of_ours(tracker, forward, script, tmp_path):
    forward(tracker, script().log({"epoch": 0.25, "loss": 1.0}, 3, 0).end()).send()
    events = EventAccumulator(str(tmp_path / "runs" / "digits" / "digits-0")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("epoch")] == [(3, 0.25)]


def test_the_epoch_is_not_written_again_after_a_restart_in_the_middle_of_a_step(
    tracker, new, forward, script, tmp_path
):
    made = script().log({"a": 1.0}, 3, 1).log({"b": 1.0}, 3, 1).end()
    forward(tracker, made).send(2).restart(new()).send()
    events = EventAccumulator(str(tmp_path / "runs" / "digits" / "digits-0")).Reload()
    assert len(events.Scalars("epoch")) == 1


SPACE = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "width": Int(8, 64),
        "net": Choice({"cnn": {"kernel": Choice([3, 5])}, "mlp": {}}),
        "bias": Choice([True, False]),
        "mixed": Choice(["a", 1, None]),
    }
)
STUDY = StudyRecord("digits", SPACE, Maximize("val_acc"))


def test_the_hparams_tab_has_a_column_for_each_param_and_one_for_the_objective(tracker, tmp_path):
    tracker.study_started(STUDY)
    columns = {info.name: info for info in experiment(tmp_path / "runs" / "digits").hparam_infos}
    assert list(columns) == ["lr", "width", "net", "kernel", "bias", "mixed"]
    assert (columns["lr"].domain_interval.min_value, columns["lr"].domain_interval.max_value) == (1e-4, 1e-1)
    assert list(columns["net"].domain_discrete) == ["cnn", "mlp"]
    assert list(columns["kernel"].domain_discrete) == [3, 5]
    assert list(columns["bias"].domain_discrete) == [True, False]
    assert not columns["mixed"].HasField("domain_discrete")
    (metric,) = experiment(tmp_path / "runs" / "digits").metric_infos
    assert (metric.name.tag, metric.display_name) == ("hyperhook/objective", "val_acc (best)")


def test_params_that_are_logged_later_get_columns_that_a_new_start_keeps(tracker, new, forward, training, tmp_path):
    tracker.study_started(STUDY)
    forward(tracker, training().end()).send()
    new().study_started(STUDY)
    names = [info.name for info in experiment(tmp_path / "runs" / "digits").hparam_infos]
    assert names == [*SPACE, "model/depth", "optimizer"]
    assert len(list((tmp_path / "runs" / "digits").glob("*tfevents*"))) == 1


def test_params_that_are_logged_after_a_restart_join_the_earlier_ones(tracker, new, forward, script, read, readers):
    made = script(params={"lr": 0.1}).log_params({"a": 1}).log({"loss": 1.0}, 0).log_params({"b": 2}).end()
    forward(tracker, made).send(3).restart(new()).send()
    assert same(read()[0], made, readers)


def test_tensorboards_own_table_shows_params_value_and_status(tracker, forward, training, tmp_path):
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    tracker.study_started(STUDY)
    for number in range(2):
        forward(tracker, training(number).end(value=0.5 + number, step=3)).send()
    forward(tracker, training(2)).send()
    logdir = str(tmp_path / "runs" / "digits")
    multiplexer = EventMultiplexer().AddRunsFromDirectory(logdir)
    multiplexer.Reload()
    context = backend_context.Context(
        TBContext(logdir=logdir, multiplexer=multiplexer, data_provider=MultiplexerDataProvider(multiplexer, logdir))
    )
    shown = context.experiment_from_metadata(
        RequestContext(),
        "",
        True,
        context.hparams_metadata(RequestContext(), ""),
        context.hparams_from_data_provider(RequestContext(), "", None),
    )
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=10,
        allowed_statuses=[
            api_pb2.STATUS_UNKNOWN,
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_RUNNING,
        ],
        col_params=[
            *(api_pb2.ColParams(hparam=info.name) for info in shown.hparam_infos),
            *(api_pb2.ColParams(metric=info.name) for info in shown.metric_infos),
        ],
    )
    handler = list_session_groups.Handler(RequestContext(), context, "", request)
    groups = {group.name: group for group in handler.run().session_groups}
    assert sorted(groups) == ["digits-0", "digits-1", "digits-2"]
    assert groups["digits-1"].hparams["model/depth"].number_value == 3
    assert [(value.name.tag, value.value) for value in groups["digits-1"].metric_values] == [
        ("hyperhook/objective", 1.5)
    ]
    assert groups["digits-1"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert not groups["digits-2"].metric_values


def test_events_of_an_unknown_trial_are_refused(tracker, script):
    with pytest.raises(HyperhookError, match="not open here"):
        tracker.metrics_logged(script().trial, {"loss": 1.0}, 0, None, 0.0)


def test_close_lets_go_of_files_and_the_tracker_can_go_on(tracker, forward, training, read, readers):
    script = training().end()
    forwarder = forward(tracker, script).send(10)
    tracker.close()
    forwarder.restart().send()
    assert same(read()[0], script, readers)


def test_naming_the_tracker_loads_nothing_heavy():
    code = (
        "import sys, hyperhook_adapters.tensorboard as m; m.TensorBoard();"
        "print([name for name in ('tensorboard', 'torch', 'tensorflow', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_neither_tensorflow_nor_torch_is_used(tmp_path, script):
    code = f"""
import sys
from hyperhook import TrialRecord, TrialState
from hyperhook_adapters.tensorboard import TensorBoard
tracker = TensorBoard({str(tmp_path)!r})
tracker.trial_started(TrialRecord("a", 0, "s"))
tracker.metrics_logged(TrialRecord("a", 0, "s"), {{"loss": 1.0}}, 0, 0, 1.0)
tracker.trial_finished(TrialRecord("a", 0, "s", state=TrialState.COMPLETE, value=1.0))
tracker.flush(TrialRecord("a", 0, "s", state=TrialState.COMPLETE))
print([name for name in ("torch", "tensorflow") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert [path.parent.name for path in Path(tmp_path).rglob("*.scalars")] == ["s-0"]
