# Each target makes .venv and installs what it needs; a second call is quick.
PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt

.PHONY: install demo test faults lowest check clean
.DEFAULT_GOAL := install

install: .venv/.base
	@echo "adc is installed: \`source .venv/bin/activate\`, or call .venv/bin/adc. For one: adc upscale photo.png -o large.png --student demo"

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

# Fault injection (tests/faults) in its long form: hours.
faults: .venv/.dev
	OMP_NUM_THREADS=1 ADC_FAULTS=long $(BIN)/python -m pytest -rP tests/faults

# The fast tests with the lowest versions that pyproject.toml declares; PYTHON=python3.10 takes the lowest Python too.
lowest: .venv/.base
	$(BIN)/uv venv --quiet --allow-existing --python $(PYTHON) .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest --numprocesses 2 --dist loadfile -m 'not slow'

# Style, types, and known vulnerabilities of pinned packages where an index answers.
check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python tools/audit.py

clean:
	rm -rf .venv .venv-lowest runs report
