# make demo   label real photos and print the result
# make test   run the tests
# make check  lint, types and tests
# Each makes .venv and installs what it needs, the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/demo.installed
	$(BIN)/python examples/demo_photos.py $(VENV)/demo-photos
	$(BIN)/clipcli classify $(VENV)/demo-photos --labels examples/aliases.csv --model tiny --output demo-labels.csv --overwrite
	cat demo-labels.csv

# A process a core, and one thread in each: more would wait for each other.
test: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto

check: $(VENV)/dev.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(MAKE) test

clean:
	rm -rf $(VENV) build dist demo-labels.csv

$(VENV)/%.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
