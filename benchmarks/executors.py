"""What an executor costs for each trial: trials that do nothing, or sleep, with 1, 2 and 4 workers.

    python benchmarks/executors.py [--trials 100] [--rounds 3] [--sleep-seconds 0.0] [--ray]

Sides: hyperhook in this process and by ``workers``, with random search and no tracker; joblib's loky and plain
multiprocessing (spawn), which run a function as often and remember nothing; Optuna in as many processes on one
SQLite file (`RDBStorage`) with its random sampler, which remembers the trials as hyperhook does. Start-up counts, since
it is part of what a user waits for; it is printed by itself, too: the time of a run of as many trials as there are
workers. Rounds are interleaved.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hyperhook as hh
from hyperhook_plugins.workers import Workers

WORKERS = (1, 2, 4)


def work(seconds: float) -> float:
    """Do nothing for a while."""
    if seconds:
        time.sleep(seconds)
    return 0.5


def ours(executor: object | None, trials: int, sleep: float, folder: Path) -> None:
    """Run a study."""

    def train(trial: hh.Trial) -> float:
        if sleep:
            time.sleep(sleep)
        return 0.5

    with hh.Study("s", {"x": hh.Float(0, 1)}, hh.Minimize("y"), home=folder) as study:
        study.run(train, trials=trials, executor=executor, progress=False)
        assert len(study.trials) == trials


def by_joblib(workers: int, trials: int, sleep: float, folder: Path) -> None:
    """Run a function by joblib, in processes that it starts for it."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    Parallel(n_jobs=workers, batch_size=1)(delayed(work)(sleep) for _ in range(trials))
    get_reusable_executor().shutdown(wait=True)


def by_multiprocessing(workers: int, trials: int, sleep: float, folder: Path) -> None:
    """Run a function in a pool."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(work, [sleep] * trials, chunksize=1)


def optuna_worker(url: str, trials: int, sleep: float) -> None:
    """Ask and tell in one of several processes."""
    import optuna
    from optuna.study import MaxTrialsCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="s", storage=url, sampler=optuna.samplers.RandomSampler())

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        return work(sleep)

    study.optimize(objective, n_trials=trials, callbacks=[MaxTrialsCallback(trials, states=None)])


def by_optuna(workers: int, trials: int, sleep: float, folder: Path) -> None:
    """Run a study of Optuna's in several processes, as its tutorial has it."""
    import optuna

    folder.mkdir()
    url = f"sqlite:///{folder}/optuna.db"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name="s", storage=url)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=optuna_worker, args=(url, trials, sleep)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(optuna.load_study(study_name="s", storage=url).trials) >= trials


def sides(with_ray: bool) -> dict[str, Callable[[int, float, Path], None]]:
    """Return what is compared, by name."""

    def side(run: Callable[[int, int, float, Path], None], workers: int) -> Callable[[int, float, Path], None]:
        return lambda trials, sleep, folder: run(workers, trials, sleep, folder)

    def by_workers(workers: int, trials: int, sleep: float, folder: Path) -> None:
        ours(Workers(workers), trials, sleep, folder)

    def by_ray(workers: int, trials: int, sleep: float, folder: Path) -> None:
        from hyperhook_plugins.ray import Ray

        ours(Ray(workers=workers, cpus_per_trial=0), trials, sleep, folder)

    found: dict[str, Callable[[int, float, Path], None]] = {
        "hyperhook, this process": lambda trials, sleep, folder: ours(None, trials, sleep, folder)
    }
    runs = {"hyperhook workers": by_workers, "joblib (loky)": by_joblib, "multiprocessing": by_multiprocessing}
    runs["Optuna, processes"] = by_optuna
    if with_ray:
        runs["hyperhook ray"] = by_ray
    for name, run in runs.items():
        for workers in WORKERS:
            found[f"{name}, {workers}"] = side(run, workers)
    return found


def main() -> None:
    """Run the sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sleep-seconds", type=float, default=0.0)
    parser.add_argument("--ray", action="store_true", help="with Ray, started once before the first round")
    asked = parser.parse_args()
    if asked.ray:
        import ray

        ray.init("local", num_cpus=4, include_dashboard=False, logging_level=logging.ERROR)
    taken: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.rounds):
            for name, run in sides(asked.ray).items():
                times = []
                for trials in (int(name.split()[-1]) if name[-1].isdigit() else 1, asked.trials):
                    started = time.perf_counter()
                    run(trials, asked.sleep_seconds, Path(folder) / f"{number}-{name}-{trials}-{os.urandom(4).hex()}")
                    times.append(time.perf_counter() - started)
                taken.setdefault(name, []).append((times[0], times[1]))
    print(f"{'':<28}{'start-up, s':>12}{f'{asked.trials} trials, s':>14}{'ms a trial':>12}")
    for name, rounds in taken.items():
        start = statistics.median(first for first, _ in rounds)
        whole = statistics.median(second for _, second in rounds)
        each = statistics.median((second - first) / asked.trials for first, second in rounds)
        print(f"{name:<28}{start:>12.2f}{whole:>14.2f}{1000 * each:>12.1f}")


if __name__ == "__main__":
    main()
