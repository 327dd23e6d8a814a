# Each target makes .venv and installs what it needs; a second call is quick.
PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt

.PHONY: install demo test check clean
.DEFAULT_GOAL := install

install: .venv/.base

.venv/.base: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(INSTALL) --editable .
	@touch $@

.venv/.dev: .venv/.base
	$(INSTALL) --editable '.[dev]'
	@touch $@

# Compress the teacher that ships with adc on bundled photos, and report: minutes on a CPU.
demo: .venv/.base
	$(BIN)/adc run recipes/demo

# Two processes, each on one thread: threads that wait for each other are what makes tests slow.
test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Style and types.
check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf .venv runs report
