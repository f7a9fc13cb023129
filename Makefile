# Everything a newcomer needs: `make run` and `make test` set up by themselves.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# `make run` needs the first, `make serve` the second, everything for developers the third.
STAMP   := $(VENV)/.installed
SERVICE := $(VENV)/.installed-service
DEV     := $(VENV)/.installed-dev
# Python compiles what is imported when it is imported: all at once takes a minute and half a gigabyte.
PIP    := $(BIN)/python .ci/install.py $(VENV)/pip.log install --no-deps --no-compile
# Has the CPU build of torch. Where it cannot be reached, pip takes the wheel from its --find-links, if it is there.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PYTEST := $(BIN)/python -m pytest
PEERS  := .venv-peers
PEERS_STAMP := $(PEERS)/.installed
PEERS_FILES := aiops_assets_tests/benchmarks/peers

# Python keeps what it has compiled: without that, each command compiles hundreds of modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup service dev lock run ui serve test test-changed test-long test-all soak bench bench-scale bench-ticks fleet own-metrics evaluate tune peers forecasts exhaustion drift deploy-check \
	lint types docs pictures graph-check clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with what `make run` and `make ui` need (pip, aiops, dagster, dg)

$(STAMP): pyproject.toml requirements.lock torch.lock
	@echo "setting up $(VENV): 175 packages from PyPI, 1.8 GB on disk, 2 to 5 minutes; once"
	@$(PYTHON) -m venv $(VENV)
	@echo "1 of 3: PyTorch, CPU build"
	@$(PIP) --retries 1 --require-hashes --index-url $(TORCH_INDEX) -r torch.lock
	@echo "2 of 3: everything else"
	@$(PIP) --require-hashes -r requirements.lock
	@echo "3 of 3: this package"
	@$(PIP) --no-build-isolation -e .
	@$(BIN)/python -m pip --disable-pip-version-check check > $(VENV)/pip-check.log || \
	    { cat $(VENV)/pip-check.log; echo "pyproject.toml wants what the lock does not hold: make lock"; exit 1; }
	@$(BIN)/aiops home > /dev/null
	@touch $@

service: $(SERVICE) ## the same with what the ML service needs

$(SERVICE): $(STAMP) service.lock
	@echo "adding what the service needs: 15 packages, 0.2 GB on disk, half a minute; once"
	@$(PIP) --require-hashes -r service.lock
	@touch $@

dev: $(DEV) ## the same with what tests, lint, types and docs need

$(DEV): $(STAMP) dev.lock
	@echo "adding what developers need: 74 packages, 0.8 GB on disk, a minute; once"
	@$(PIP) --require-hashes -r dev.lock
	@touch $(SERVICE) $@

# What stands in a lock already is kept while it fits; UPGRADE=--upgrade takes the newest of everything.
COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --generate-hashes --no-emit-package torch --no-annotate \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --custom-compile-command 'make lock' $(UPGRADE)

$(BIN)/uv:
	$(MAKE) dev

# Not after `dev`, which fails while a lock lacks something.
lock: $(BIN)/uv ## the locks anew, from pyproject.toml and constraints.txt
	$(COMPILE) --extra dev --extra bench -c constraints.txt -o dev.lock
	$(COMPILE) --extra train --extra ui --extra dg --extra build -c dev.lock -o requirements.lock
	$(COMPILE) --extra train --extra service --extra ui --extra dg --extra build -c dev.lock -o service.lock
	$(COMPILE) --extra train --extra onnx --extra service --extra opentelemetry --extra cluster --extra ui --extra build \
	    -c dev.lock -o deploy/image/requirements.lock

run: setup ## from metrics to a served model: the whole chain, then a summary
	@$(BIN)/aiops run

ui: setup ## the Dagster UI with history, http://127.0.0.1:3000
	@$(BIN)/aiops ui

serve: service ## the ML service, http://127.0.0.1:8080 (docs: /docs)
	@$(BIN)/aiops serve

# A worker takes whole files, in the order that conftest.py gives them.
TWO := -n 2 --dist loadfile --no-loadscope-reorder

test: dev ## the quick tests (5 to 9 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(PYTEST) -m "not long" $(TWO)

test-changed: dev ## what your change can break, the nearest tests first (a minute; BASE=commit to compare with)
	@files=$$($(BIN)/python -m aiops_assets_tests.changed $(BASE)) || exit 1; \
	[ -z "$$files" ] || OMP_NUM_THREADS=1 AIOPS_TEST_SECONDS=60 $(PYTEST) -m "not long" $(TWO) $$files

test-long: dev ## kills, browser, whole deployments, fresh environments, every documented command (20 to 35 minutes)
	OMP_NUM_THREADS=1 $(PYTEST) -m long $(TWO)

test-all: dev ## both in one run, as CI does (22 to 42 minutes)
	OMP_NUM_THREADS=1 $(PYTEST) $(TWO)

SOAKED := test_kills test_promotion_kills test_backfill_kill test_served_under_load test_daemon test_schema_fuzzing

soak: dev ## kills, drawn requests and hours at their whole length (6 hours; SHARE=.1 is a tenth)
	AIOPS_SOAK=$(or $(SHARE),1) OMP_NUM_THREADS=1 $(PYTEST) -s -m long $(TWO) $(SOAKED:%=aiops_assets_tests/long/%.py)

bench: dev ## time limits, as ratios measured in one run (some minutes); PARTS=fetching measures that alone
	$(BIN)/python -m aiops_assets_tests.benchmarks $(PARTS)

fleet: dev ## pages of generated fleets: without incidents, and how many incidents page in time (some minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m aiops_assets_tests.benchmarks.paging $(ARGS)

bench-scale: dev ## what 100 to 10,000 pods cost: CPU, memory, a second run (some minutes)
	$(BIN)/python -m aiops_assets_tests.benchmarks.scale --pods 100 --pods 1000 --pods 10000

bench-ticks: dev ## what a run of scores costs with 100 and 1,000 pods (some minutes); PODS="--pods 5000" asks for others
	$(BIN)/python -m aiops_assets_tests.benchmarks.ticks $(PODS)

own-metrics: dev ## what metrics of METRICS_FILE cost, and how often healthy rows alert (DATA=folder of labelled series; some minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m aiops_assets_tests.benchmarks.own_metrics $(DATA) $(ARGS)

evaluate: setup ## how good the detector is: on 30 generated days, or on labelled series (DATA=folder)
	@$(BIN)/aiops evaluate $(DATA)

tune: dev ## choose the constants of ensemble-predictor, each set judged by what the others chose (DATA=folder; twenty minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m aiops_assets_tests.benchmarks.tuning $(DATA)

# Other detectors' packages pin other versions than the project does: an environment of their own.
$(PEERS_STAMP): $(PEERS_FILES)/requirements.txt $(PEERS_FILES)/constraints.txt
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $(PEERS_FILES)/requirements.txt
	@touch $@

peers: setup $(PEERS_STAMP) ## other detectors beside ours on labelled series (DATA=folder; minutes, can be resumed)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.peers $(DATA) --python $(PEERS)/bin/python $(if $(AGAIN),--again)

forecasts: dev ## the forecasters beside the trivial ones (DATA=folder with series/ and forecast_score.py)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.forecasting $(DATA)

drift: dev ## how often drift is right, on simulated clusters (a quarter of an hour)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.drift

exhaustion: dev ## how often the time to exhaustion is right, on simulated leaks and disks (a minute)
	@$(BIN)/python -m aiops_assets_tests.benchmarks.exhaustion

deploy-check: dev ## what deploy/ holds, by the real programs and schemas: kubectl, helm, Kubernetes, Dagster, Prometheus
	$(PYTEST) aiops_assets_tests/deploy

lint: dev ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev ## types, strict for the whole package
	$(BIN)/mypy -n 2

docs: dev ## the site, docs/_build/html: offline, warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html
	@echo docs/_build/html/index.html

pictures: dev ## the drawings and screenshots of the site anew (chromium; some minutes)
	$(BIN)/python docs/drawings.py
	$(BIN)/python docs/screenshots.py

graph-check: dev ## the graph loads, by Dagster's own program
	$(BIN)/dg check defs

clean: ## remove state and environment
	rm -rf $(VENV) $(PEERS) .deploy-tools .deploy-tools.lock .aiops .mypy_cache .ruff_cache .pytest_cache docs/_build
