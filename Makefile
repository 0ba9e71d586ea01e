# On a fresh machine with Python 3.11 or later, nothing else:
#   make demo         pretrain on built-in images, judge the encoder, write runs/demo/report.html
#   make test         every check and test
#   make test-quick   the checks and the tests that are done in a minute and a half
#   make docs         build the documentation into site/
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar on

.PHONY: demo test test-quick lint docs wheel clean

demo: .venv/.installed
	@echo "Pretraining on 11,200 drawings of digits that come with scikit-learn: two to three minutes on two CPU cores."
	$(BIN)/moco pretrain --data demo --out runs/demo
	$(BIN)/moco evaluate runs/demo few-labels --data demo

test: lint
	$(BIN)/pytest

test-quick: lint
	$(BIN)/pytest -m "not slow"

lint: .venv/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.tested
	$(BIN)/mkdocs build --strict

wheel: .venv/.tested
	$(BIN)/python -m build

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "moco needs Python 3.11 or later; name one with make PYTHON=python3.11")'
	@echo "Installing moco and PyTorch into .venv, nowhere else. On Linux with an Intel or AMD processor PyTorch brings its GPU"
	@echo "libraries: about 3 GB to fetch and 5.6 GB on disk, some five minutes at 100 Mbit/s. On a Mac it is under 1 GB."
	@echo "What is there already (pip's cache, .venv) is not fetched again."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/.tested: .venv/.installed
	@echo "Installing what the tests, the documentation and the exports need: about 0.5 GB more on disk."
	$(PIP) -e '.[test]'
	@touch $@

clean:
	rm -rf .venv runs site build dist
