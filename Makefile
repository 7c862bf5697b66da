# make demo [CT=dir] [OUT=dir]   see the whole path work here, with a generated chest CT or one of your own
# make test            install what the tests talk to (root on Debian or Ubuntu), then lint and test
# make lint | train-test | benchmark
# PYTHON=/path/to/python3.11 chooses the interpreter, ARGS='-k word' is handed to pytest or the benchmark.

VENV := .venv
TRAIN_VENV := .venv-train
PIP := -m pip install --quiet --disable-pip-version-check
# the release that the reference model was trained with, installed first so that no other is taken
TORCH := torch==2.13.0
# needs torch to be imported and to be type-checked
TRAIN_TESTS := tests/unit/inference/test_training.py
# two files of tests at once, each file in order (the tests of one share servers), in the order of the folders: the
# long ones come first
TWO_AT_ONCE := --numprocesses 2 --dist loadfile --no-loadscope-reorder
export PYTHON

.PHONY: demo test lint train-test benchmark peers
.DEFAULT_GOAL := demo

demo: $(VENV)/.serving
	$(VENV)/bin/segwatch demo $(if $(CT),--ct '$(CT)') $(if $(OUT),--out '$(OUT)')

test: peers lint
	$(VENV)/bin/pytest -m 'not train' $(TWO_AT_ONCE) $(ARGS)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy --explicit-package-bases --exclude $(TRAIN_TESTS) tests benchmarks
	$(VENV)/bin/lint-imports

train-test: $(TRAIN_VENV)/.train
	$(TRAIN_VENV)/bin/mypy inference/training/*.py
	$(TRAIN_VENV)/bin/mypy --explicit-package-bases $(TRAIN_TESTS)
	SEGWATCH_TRAIN_TESTS=1 $(TRAIN_VENV)/bin/pytest -m train $(ARGS)

benchmark: $(VENV)/.dev
	@set -e; for script in benchmarks/*.py; do $(VENV)/bin/python $$script $(ARGS); done

peers:
	sh deploy/install-test-peers.sh

# Environments: made once, filled again when the dependencies change.
%/bin/python:
	sh deploy/make-venv.sh $*

$(VENV)/.serving: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.serving

$(TRAIN_VENV)/.train: pyproject.toml | $(TRAIN_VENV)/bin/python
	$(TRAIN_VENV)/bin/python $(PIP) '$(TORCH)'
	$(TRAIN_VENV)/bin/python $(PIP) --editable '.[train,dev]'
	@touch $@
