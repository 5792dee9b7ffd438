# The two commands of the README are `make demo` and `make test`; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
QUICK := $(VENV)/quality-quick.jsonl

.PHONY: demo test test-slow lint format bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'hyperhook needs Python 3.11 or newer')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)  ## tune a small Lightning model, three trackers on (half a minute)
	$(BIN)/python examples/lightning_digits.py

test: $(READY)  ## every test but the long ones, on up to four cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n logical --maxprocesses 4 --dist worksteal

test-slow: $(READY)  ## the long fault and quality runs
	$(BIN)/python -m pytest -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the numbers in docs/benchmarks.md; of benchmarks/bo, only whether it runs
	$(BIN)/python benchmarks/event_cost.py
	$(BIN)/python benchmarks/import_time.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fit_throughput.py --blocks 400
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/slow_server.py --blocks 200
	$(BIN)/python benchmarks/backlog.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/following.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/gp_vs_random.py
	$(BIN)/python benchmarks/bo/quality.py --quick --results $(QUICK) --method "hyperhook GP" --method random --method BoTorch
	$(BIN)/python benchmarks/bo/report.py $(QUICK) --budget 10
	$(BIN)/python benchmarks/bo/speed.py --quick
	$(BIN)/python benchmarks/bo/several.py --speed --objectives 4 --known 10 --repeats 3
	$(BIN)/python benchmarks/bo/transfer.py --quick
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/gp_priors.py
	OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/pruning.py --quick

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
