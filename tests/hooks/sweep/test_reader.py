"""Sweep files: what they say is what the study gets, and what is wrong is named with its line."""

from __future__ import annotations

import random
from collections.abc import Mapping
from textwrap import dedent, indent

import pytest

import hyperhook as hh
from hyperhook.errors import SweepError
from hyperhook.sweep import Addon, Sweep, read_sweep

HEAD = "program: train.py\nmethod: random\n"
SEARCHES = "metric: {name: m}\nparameters: {a: {value: 1}}\n"


def read(text: str) -> Sweep:
    return read_sweep(dedent(text), "sweep.yaml")


def parameters(text: str) -> Sweep:
    return read(f"{HEAD}parameters:\n{indent(dedent(text), '  ')}")


def test_a_whole_file() -> None:
    sweep = read(
        """
        name: digits
        description: how well it learns
        program: train.py
        project: vision
        entity: me
        command: ["${env}", python3, -u, "${program}", --data, 7, "${args_no_boolean_flags}"]
        method: bayes
        metric: {name: val_acc, goal: maximize, target: 0.99}
        run_cap: 50
        parameters:
          lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
          layers: {min: 1, max: 4}
          dropout: {min: 0.0, max: 0.5}
          epochs: {value: 10}
        early_terminate: {type: hyperband, min_iter: 3, eta: 2, strict: true}
        trackers: [tensorboard, {wandb: {mode: offline}}]
        plugins: [median, {gp: {device: cpu}}]
        storage: postgresql://db/hyperhook
        metrics_from: wandb
        max_retries: 2
        """
    )
    assert (sweep.name, sweep.program, sweep.run_cap) == ("digits", "train.py", 50)
    assert sweep.command == ("${env}", "python3", "-u", "${program}", "--data", "7", "${args_no_boolean_flags}")
    assert sweep.objective == hh.Maximize("val_acc")
    assert [sweep.is_at_target(value) for value in (0.98, 0.99, 1.0, None)] == [False, True, True, False]
    assert sweep.space == hh.Space(
        {
            "lr": hh.Float(1e-5, 1e-1, log=True),
            "layers": hh.Int(1, 4),
            "dropout": hh.Float(0.0, 0.5),
            "epochs": hh.Choice([10]),
        }
    )
    assert [addon.name for addon in sweep.plugins] == ["gp", "asha", "median"]
    assert sweep.plugins[0].options == {"device": "cpu"}
    assert sweep.plugins[1].options["rungs"][:4] == [3, 6, 12, 24]
    assert sweep.trackers == (
        Addon("tensorboard", {}),
        Addon("wandb", {"project": "vision", "entity": "me", "mode": "offline"}),
    )
    assert (sweep.storage, sweep.metrics_from, sweep.max_retries) == ("postgresql://db/hyperhook", "wandb", 2)
    assert sweep.ignored == ()


def test_the_defaults() -> None:
    sweep = read("{program: t.py, method: grid, parameters: {a: {values: [1, 2]}}}")
    assert sweep.command == ("${env}", "${interpreter}", "${program}", "${args}")
    assert (sweep.name, sweep.objective, sweep.target, sweep.run_cap, sweep.storage) == (None,) * 5
    assert (sweep.plugins, sweep.trackers, sweep.metrics_from) == ((Addon("grid", {}),), (), "auto")
    assert read("{program: t.py, method: grid, metric: {name: m}, parameters: {a: {value: 1}}}").objective == (
        hh.Minimize("m")
    )


def test_a_distribution_that_is_not_named_follows_from_the_keys() -> None:
    space = parameters(
        """
          whole: {min: 0, max: 1}
          real: {min: 0.0, max: 1}
          options: {values: [a, b]}
          likely: {values: [a, b], probabilities: [0.9, 0.1]}
          one: {value: a}
        """
    ).space
    assert space["whole"] == hh.Int(0, 1)
    assert space["real"] == hh.Float(0.0, 1)
    assert space["options"] == hh.Choice(["a", "b"])
    assert space["likely"] == hh.Choice(["a", "b"], weights=[0.9, 0.1])
    assert space["one"] == hh.Choice(["a"])


def test_nested_parameters_are_named_by_their_path_and_given_nested() -> None:
    sweep = parameters(
        """
          batch: {value: 32}
          optimizer:
            parameters:
              lr: {values: [0.001]}
              nadam: {parameters: {beta: {value: 0.9}}}
        """
    )
    assert list(sweep.space) == ["batch", "optimizer.lr", "optimizer.nadam.beta"]
    params = sweep.space.sample(random.Random(0))
    assert sweep.arguments(params) == {"batch": 32, "optimizer": {"lr": 0.001, "nadam": {"beta": 0.9}}}


def test_conditional_parameters_stand_beside_their_choice() -> None:
    sweep = parameters(
        """
          net:
            parameters:
              kind:
                values: [cnn, mlp, true]
                when:
                  cnn: {width: {min: 1, max: 9}}
                  true: {depth: {value: 3}}
        """
    )
    assert list(sweep.space) == ["net.kind", "net.width", "net.depth"]
    assert sweep.arguments({"net.kind": "cnn", "net.width": 4}) == {"net": {"kind": "cnn", "width": 4}}
    assert not sweep.space.is_active("net.width", {"net.kind": "mlp"})
    sweep.space.validate({"net.kind": True, "net.depth": 3})


def test_lists_and_mappings_are_options_and_come_back_as_they_were() -> None:
    sweep = parameters("  layers: {values: [[64, 64], [128], '[128]x', {a: null}]}\n")
    assert sweep.space["layers"] == hh.Choice(["[64, 64]", "[128]", "[128]x", '{"a": null}'])
    given = [sweep.arguments({"layers": option})["layers"] for option in sweep.space["layers"].options]  # type: ignore[union-attr]
    assert given == [[64, 64], [128], "[128]x", {"a": None}]


def test_numbers_in_an_order_are_ordered() -> None:
    space = parameters("  up: {values: [16, 32, 64]}\n  mixed: {values: [3, 1, 2]}\n  two: {values: [1, 2]}\n").space
    assert {name: choice.ordered for name, choice in space.items() if isinstance(choice, hh.Choice)} == {
        "up": True,
        "mixed": False,
        "two": False,
    }


def test_yaml_is_read_as_people_mean_it() -> None:
    sweep = parameters("  lr: {values: [1e-4, 1E3, .5e1, '1e-4', 2020-01-31]}\n")
    assert sweep.space["lr"] == hh.Choice([1e-4, 1e3, 5.0, "1e-4", "2020-01-31"])


def test_merged_keys_are_taken_and_overridden() -> None:
    sweep = parameters("  a: &base {min: 0, max: 9}\n  b: {<<: *base, max: 5}\n")
    assert sweep.space["b"] == hh.Int(0, 5)


def test_what_means_nothing_here_is_named() -> None:
    sweep = read(f"{HEAD}kind: sweep\nproject: p\nmetric: {{name: m, impute: worst}}\nparameters: {{a: {{value: 1}}}}")
    assert sweep.ignored == ("kind", "metric.impute", "project")


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({}, None),
        ({"run_cap": "9", "description": "other"}, None),
        ({"max": "2.0"}, "parameters.lr.max was 1.0, and is 2.0"),
        ({"extra": "trackers: [csv]"}, "trackers was not there, and is ['csv']"),
        ({"value": "true"}, "parameters.flag.value was 1, and is True"),
    ],
)
def test_a_changed_file_differs_where_it_matters(changed: Mapping[str, str], difference: str | None) -> None:
    def text(max: str = "1.0", value: str = "1", run_cap: str = "5", description: str = "d", extra: str = "") -> Sweep:  # noqa: A002
        return read(
            f"{HEAD}run_cap: {run_cap}\ndescription: {description}\n{extra}\n"
            f"parameters: {{lr: {{min: 0.0, max: {max}}}, flag: {{value: {value}}}}}"
        )

    assert text().difference(text(**changed)) == difference


WRONG = [
    ("", "sweep.yaml: it is empty"),
    ("[1]", "line 1: expected keys and values"),
    ("a: [", "line 1: this is no YAML"),
    ("a: 1\n---\nb: 2", "line 2: this is no YAML"),
    ("method: grid\nmethod: grid", "line 2: the key 'method' stands twice"),
    ("a: &a [*a]", "a value holds itself"),
    ("a: !!python/object/apply:os.system [ls]", "line 1: this is no YAML: could not determine a constructor"),
    ("a: !!binary aGk=", "line 1: expected plain data, got binary"),
    ("? [1]\n: 2", "line 1: expected a name as a key"),
    (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6)),
        "more than 100,000 values",
    ),
    (
        "program: t.py\nparameters: {a: {value: 1}}",
        "line 1: method: it is missing; expected one of bayes, random, grid",
    ),
    ("program: t.py\nmethod: gird\nparameters: {a: {value: 1}}", "line 2: method: expected one of bayes, random, grid"),
    (f"{HEAD}progam: t.py", "line 3: progam: unknown key; expected one of program, .*; did you mean 'program'\\?"),
    (f"{HEAD}3: t.py", "line 3: 3: unknown key"),
    (HEAD, "line 1: parameters: it is missing"),
    (f"{HEAD}parameters: {{}}", "line 3: parameters: expected names and parameters"),
    (f"{HEAD}parameters:\n  a: 3", "line 4: parameters.a: expected keys such as value"),
    (f"{HEAD}parameters:\n  -a: {{value: 1}}", "line 4: parameters.-a: expected a name of letters"),
    (f"{HEAD}parameters:\n  a: {{mn: 1, max: 2}}", "parameters.a: expected value, .*; did you mean 'min'\\?"),
    (f"{HEAD}parameters:\n  a: {{min: 1, max: 2, q: 1}}", "a.q: unknown key; an int_uniform parameter has min, max"),
    (f"{HEAD}parameters:\n  a: {{min: '1', max: 2}}", "a.min: expected a number, got '1'"),
    (f"{HEAD}parameters:\n  a: {{min: true, max: 2}}", "a.min: expected a number, got True"),
    (f"{HEAD}parameters:\n  a: {{min: 2, max: 1}}", "parameters.a: expected min below max, got min=2, max=1"),
    (f"{HEAD}parameters:\n  a: {{distribution: unifrom, min: 1, max: 2}}", "did you mean 'uniform'"),
    (f"{HEAD}parameters:\n  a: {{distribution: int_uniform, min: 1.0, max: 2}}", "a.min: expected a whole number"),
    (
        f"{HEAD}parameters:\n  a: {{distribution: uniform, min: 1}}",
        "a.max: it is missing; a uniform parameter needs a number",
    ),
    (
        f"{HEAD}parameters:\n  a: {{distribution: log_uniform_values, min: 0, max: 1}}",
        "a.min: expected a number above 0",
    ),
    (f"{HEAD}parameters:\n  a: {{distribution: log_uniform, min: 0, max: 1000}}", "exp\\(1000\\) is too large"),
    (f"{HEAD}parameters:\n  a: {{distribution: normal, sigma: 0}}", "a.sigma: expected a number above 0"),
    (f"{HEAD}parameters:\n  a: {{values: []}}", "a.values: expected a list of values"),
    (f"{HEAD}parameters:\n  a: {{values: [1, 1.0]}}", "parameters.a: Choice: option 1.0 stands twice"),
    (f"{HEAD}parameters:\n  a: {{values: [[1], '[1]']}}", "stands twice"),
    (f"{HEAD}parameters:\n  a: {{values: [.nan]}}", "line 4: expected finite numbers, got nan"),
    (f"{HEAD}parameters:\n  a: {{values: [1, 2], probabilities: [1]}}", "expected 2 probabilities"),
    (f"{HEAD}parameters:\n  a: {{values: [1, 2], probabilities: [0.5, 0.4]}}", "probabilities that sum to 1, got 0.9"),
    (f"{HEAD}parameters:\n  a: {{values: [1, 2], probabilities: [1.5, -0.5]}}", "a list of probabilities"),
    (f"{HEAD}parameters:\n  a: {{values: [x], when: {{y: {{b: {{value: 1}}}}}}}}", "one of the options 'x', got 'y'"),
    (f"{HEAD}parameters:\n  a: {{values: [x], when: {{x: 3}}}}", "a.when.x: expected names and parameters"),
    (f"{HEAD}parameters:\n  a: {{parameters: {{b: {{value: 1}}}}, value: 2}}", "holds parameters holds nothing else"),
    (f"{HEAD}parameters:\n  a.b: {{value: 1}}\n  a: {{parameters: {{b: {{value: 1}}}}}}", "'a.b' stands twice"),
    (f'{HEAD}parameters:\n  a: {{value: "a\\0b"}}', "line 4: a text holds a NUL"),
    (f'{HEAD}parameters:\n  a: {{value: "\\ud800"}}', "line 4: a text holds half a character"),
    (f"{HEAD}metric: loss\nparameters: {{a: {{value: 1}}}}", "line 3: metric: expected keys and values, got 'loss'"),
    (f"{HEAD}metric: {{goal: maximise, name: m}}\nparameters: {{a: {{value: 1}}}}", "metric.goal: expected one of min"),
    (
        f"{HEAD}metric: {{goal: maximize}}\nparameters: {{a: {{value: 1}}}}",
        "metric.name: it is missing; expected a text",
    ),
    ("program: t\nmethod: bayes\nparameters: {a: {value: 1}}", "line 2: metric: it is missing"),
    (f"{HEAD}early_terminate: {{type: hyperband, min_iter: 1}}\nparameters: {{a: {{value: 1}}}}", "line 3: metric"),
    (
        f"{HEAD}{SEARCHES}early_terminate: {{type: hyperband, max_iter: 9}}",
        "line 5: early_terminate: expected min_iter, or max_iter and s",
    ),
    (
        f"{HEAD}{SEARCHES}early_terminate: {{type: hyperband, max_iter: 2, s: 1}}",
        "there is no rung below max_iter=2",
    ),
    (f"{HEAD}command: train\nparameters: {{a: {{value: 1}}}}", "line 3: command: expected a list of words and macros"),
    (
        f"{HEAD}command: ['${{arg}}']\nparameters: {{a: {{value: 1}}}}",
        "no macro \\$\\{arg\\}; .*did you mean \\$\\{args\\}",
    ),
    (f"{HEAD}command: ['--x=${{args}}']\nparameters: {{a: {{value: 1}}}}", "a macro must stand alone"),
    ("method: grid\nparameters: {a: {value: 1}}", "line 1: program: it is missing"),
    (f"{HEAD}job: j\nparameters: {{a: {{value: 1}}}}", "line 3: job: only W&B itself can do this"),
    (f"{HEAD}trackers: tensorboard\nparameters: {{a: {{value: 1}}}}", "trackers: expected a list of names"),
    (f"{HEAD}plugins: [gp, gp]\nparameters: {{a: {{value: 1}}}}", "line 3: plugins: 'gp' stands twice"),
    (
        f"{HEAD}plugins: [{{gp: {{}}, grid: {{}}}}]\nparameters: {{a: {{value: 1}}}}",
        "plugins: expected a list of names",
    ),
    (
        f"{HEAD}metrics_from: 3\nparameters: {{a: {{value: 1}}}}",
        "metrics_from: expected a name, or a name with options",
    ),
    (
        f"{HEAD}storage: postgresql://me:secret@db/h\nparameters: {{a: {{value: 1}}}}",
        "line 3: storage: it holds a pass",
    ),
    (f"{HEAD}run_cap: 0\nparameters: {{a: {{value: 1}}}}", "run_cap: expected a whole number from 1, got 0"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_one_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SweepError, match=message) as raised:
        read(text)
    assert str(raised.value).startswith("sweep.yaml")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
