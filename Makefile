# A newcomer needs two commands: `make demo` and `make test`.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ERRBOUND_SHARED ?= ../shared
export ERRBOUND_SHARED

.PHONY: demo test test-all check format lint types layers docs docs-check proofs clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs]"
	@touch $@

demo: $(VENV)/.ready  ## certify the shipped model on the 10,000 MNIST test images
	$(BIN)/errbound certify examples/mnist_dnn.pt --data mnist --overwrite

test: $(VENV)/.ready  ## the test suite without the exhaustive parts
	$(BIN)/python -m pytest -n 2

test-all: $(VENV)/.ready  ## everything: exhaustive suites, 100,000 executions, sabotage table
	$(BIN)/python -m pytest -n 2 -m "slow or not slow" --ignore=tests/adversary --ignore=tests/sabotage
	$(BIN)/python -m pytest -s -m "slow or not slow" tests/adversary tests/sabotage

check: format lint types layers proofs test docs-check  ## all that must hold before a commit

format: $(VENV)/.ready
	$(BIN)/ruff format --check .

lint: $(VENV)/.ready
	$(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy

layers: $(VENV)/.ready
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tests/file_sizes.py

docs: $(VENV)/.ready  ## the site, in build/site
	$(BIN)/mkdocs build --strict --quiet

docs-check: docs  ## rerun the commands of README and docs and compare their output
	$(BIN)/python tests/readme.py

proofs:  ## the theory, if Coq is there
	@if command -v coqc >/dev/null; then $(MAKE) -C proofs; else echo "proofs: no Coq here, skipped"; fi

clean:
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
