"""Many workers in virtual time: what they do while the optimizer thinks, and what the search finds.

    python benchmarks/many_workers.py [--workers 1000] [--trials 3000] [--trial-seconds 600] [--depth 32] [--quick]

Trials only seem to train: each lasts as long as a draw says (log-normal around ``--trial-seconds``), on a clock that is
no clock. What is real are the suggestions: the optimizer answers at every turn with all trials that have begun by then,
and the seconds that it takes pass on the virtual clock, too.

``each for itself``: a worker that becomes free asks the optimizer by itself, on a core of its own, and does not see
what others ask for meanwhile. ``ahead``: one process keeps ``--depth`` suggestions waiting, chosen together, and
workers take the first, or wait for it; what waits is chosen anew whenever half as many results have come, as
``hyperhook suggest-ahead`` does; ``--speedup`` says how much faster than this machine that process is, as one
with a GPU would be. ``random`` answers at once.

The table gives the share of the workers' time that went into trials, the median seconds of a suggestion, how long a
worker waited for its next trial, and the regret in the end as a share of that of random search.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import hyperhook as hh
from hyperhook_plugins.gp import GP
from hyperhook_plugins.random_search import RandomSearch

sys.path.insert(0, str(Path(__file__).parent / "bo"))
from problems import SYNTHETIC, Problem

Suggest = Callable[[hh.StudyRecord, int], Sequence[hh.Params]]


@dataclass
class Cluster:
    """Workers, the trials that they run, and a clock.

    Attributes:
        problem: What is searched.
        workers: How many there are.
        budget: How many trials they run together.
        trial_seconds: Median of a trial's duration, in virtual seconds.
        seed: Seed of the durations, of the noise and of the search.
    """

    problem: Problem
    workers: int
    budget: int
    trial_seconds: float
    seed: int
    asked: int = 0
    busy_seconds: float = 0.0
    thinking: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.study = hh.StudyRecord("many", self.problem.space, hh.Minimize("loss"), seed=self.seed)
        self.trials: list[hh.TrialRecord] = []
        self.running: list[tuple[float, int]] = []
        self.now = 0.0

    def ask(self, suggest: Suggest, count: int = 1) -> tuple[list[hh.Params], float]:
        """Ask in view of all that has begun and ended by now; return the answers, and what they took in seconds."""
        study = replace(self.study, trials=tuple(self.trials))
        began = time.perf_counter()
        answers = list(suggest(study, count))
        took = time.perf_counter() - began
        self.thinking.append(took / count)
        self.asked += count
        return answers, took

    def begin(self, params: hh.Params, free_since: float) -> None:
        """Start a trial now, on a worker that has been free since then."""
        number, lasts = len(self.trials), self.trial_seconds * self.rng.lognormvariate(0.0, 0.5)
        running = hh.TrialState.RUNNING
        self.trials.append(
            hh.TrialRecord(f"many-{number}", number, "many", dict(params), running, started_time=self.now)
        )
        heapq.heappush(self.running, (self.now + lasts, number))
        self.waited.append(self.now - free_since)
        self.busy_seconds += lasts

    def end_next(self) -> None:
        """Go on to the end of the next trial; it gives its value."""
        self.now, number = heapq.heappop(self.running)
        trial = self.trials[number]
        value = self.problem.observe(trial.params, self.rng)
        self.trials[number] = replace(trial, state=hh.TrialState.COMPLETE, value=value, finished_time=self.now)


def each_for_itself(cluster: Cluster, suggest: Suggest) -> None:
    """Let every worker ask by itself; an answer becomes a trial once it has been found."""
    asking: list[tuple[float, int, float, hh.Params]] = []

    def turn(free_since: float) -> None:
        if cluster.asked < cluster.budget:
            (params,), took = cluster.ask(suggest)
            heapq.heappush(asking, (cluster.now + took, cluster.asked, free_since, params))

    for _ in range(cluster.workers):
        turn(0.0)
    while asking or cluster.running:
        if asking and (not cluster.running or asking[0][0] <= cluster.running[0][0]):
            cluster.now, _, free_since, params = heapq.heappop(asking)
            cluster.begin(params, free_since)
        else:
            cluster.end_next()
            turn(cluster.now)


def ahead(cluster: Cluster, suggest: Suggest, depth: int, speedup: float) -> None:
    """Let one process keep suggestions waiting for all workers."""
    free = deque([0.0] * cluster.workers)
    queue: deque[hh.Params] = deque()
    answered: tuple[float, list[hh.Params], bool] | None = None
    results = chosen_with = 0
    while len(cluster.trials) < cluster.budget or cluster.running:
        while free and queue and len(cluster.trials) < cluster.budget:
            cluster.begin(queue.popleft(), free.popleft())
        if answered is None:
            anew = results - chosen_with >= max(1, depth / 2)
            kept = () if anew else tuple(queue)
            wanted = min(depth, cluster.budget - len(cluster.trials)) - len(kept)
            if wanted > 0:
                answers, took = cluster.ask(_with_queue(suggest, kept), wanted)
                answered = (cluster.now + took / speedup, answers, anew)
                chosen_with = chosen_with if kept else results
        if answered is not None and (not cluster.running or answered[0] <= cluster.running[0][0]):
            cluster.now, answers, anew = answered
            if anew:
                queue.clear()
            queue.extend(answers)
            answered = None
        elif cluster.running:
            cluster.end_next()
            results += 1
            free.append(cluster.now)


def _with_queue(suggest: Suggest, queue: Sequence[hh.Params]) -> Suggest:
    """Return a suggester that takes what waits in the queue for trials that are about to run."""

    def answer(study: hh.StudyRecord, count: int) -> Sequence[hh.Params]:
        first, queued = len(study.trials), hh.TrialState.QUEUED
        waiting = [hh.TrialRecord(f"q-{i}", first + i, "many", dict(params), queued) for i, params in enumerate(queue)]
        return suggest(replace(study, trials=(*study.trials, *waiting)), count)

    return answer


def main() -> None:
    """Run the ways of asking in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=3000)
    parser.add_argument("--trial-seconds", type=float, default=600.0)
    parser.add_argument("--depth", type=int, default=32)
    parser.add_argument("--speedup", type=float, default=1.0)
    parser.add_argument("--problem", default="Hartmann-6", choices=[problem.name for problem in SYNTHETIC])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="20 workers, 60 trials: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.workers, options.trials, options.depth = 20, 60, 8
    problem = next(problem for problem in SYNTHETIC if problem.name == options.problem)
    rows: dict[str, list[tuple[Cluster, float]]] = {"random": [], "each for itself": [], "ahead": []}
    for seed in range(options.seeds):
        for way, found in rows.items():
            cluster = Cluster(problem, options.workers, options.trials, options.trial_seconds, seed)
            suggester = RandomSearch() if way == "random" else GP(device=options.device)
            if way == "ahead":
                ahead(cluster, suggester.suggest, options.depth, options.speedup)
            else:
                each_for_itself(cluster, suggester.suggest)
            best = min(cluster.trials, key=lambda trial: trial.value if trial.value is not None else float("inf"))
            found.append((cluster, problem.truth(best.params) - (problem.optimum or 0.0)))
            print(f"seed {seed}, {way}: {_row(found[-1:], rows['random'][-1:])}", file=sys.stderr, flush=True)
    print(f"{options.workers} workers, {options.trials} trials of {options.trial_seconds:g} s on {problem.name}\n")
    print("| | busy | seconds per suggestion | mean wait, s | longest wait, s | regret |\n|---|---|---|---|---|---|")
    for way, found in rows.items():
        print(f"| {way} | {_row(found, rows['random'])} |")


def _row(found: Sequence[tuple[Cluster, float]], against: Sequence[tuple[Cluster, float]]) -> str:
    clusters = [cluster for cluster, _ in found]
    waited = [seconds for cluster in clusters for seconds in cluster.waited]
    busy = sum(cluster.busy_seconds for cluster in clusters)
    regret = statistics.mean(left for _, left in found) / statistics.mean(left for _, left in against)
    thinking = statistics.median(seconds for cluster in clusters for seconds in cluster.thinking)
    cells = (f"{busy / (busy + sum(waited)):.4f}", f"{thinking:.3f}", f"{statistics.mean(waited):.2f}")
    return " | ".join((*cells, f"{max(waited):.1f}", f"{regret:.3g}"))


if __name__ == "__main__":
    main()
