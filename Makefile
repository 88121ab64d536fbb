# make demo   label real photos and print the result
# make test   run the tests; make fast leaves the slow ones out
# make check  lint, types and tests
# make mutants  what share of small faults the fast tests notice (25 minutes)
# make docs   write anew what the docs have from the code
# make tiny   pretrain the bundled model again, into runs/ (hours; goes on where it was stopped)
# Each makes .venv and installs what it needs, the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The folder of the data that `make tiny` trains on.
DATA ?= ../shared/data
TINY := $(CURDIR)/examples/pretrain-tiny
RUNS := $(CURDIR)/runs
TRAIN = $(CURDIR)/$(BIN)/clipcli train --labels $(TINY)/labels.csv --config $(TINY)

.PHONY: demo test fast check mutants docs tiny clean

demo: $(VENV)/demo.installed
	$(BIN)/python examples/demo_photos.py $(VENV)/demo-photos
	$(BIN)/clipcli classify $(VENV)/demo-photos --labels examples/aliases.csv --model tiny --output demo-labels.csv --overwrite
	cat demo-labels.csv

# A process a core, and one thread in each: more would wait for each other.
# pytest and not python -m pytest, which would test the folder and not what is installed.
test: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

fast: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto -m "not slow"

check: $(VENV)/dev.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(MAKE) test

mutants: $(VENV)/dev.installed
	$(BIN)/python -m pip install --quiet cosmic-ray
	$(BIN)/python tests/mutants.py

docs: $(VENV)/dev.installed
	$(BIN)/python docs/make.py

# Each stage begins with the weights of the one before.
tiny: $(VENV)/dev.installed
	cd $(DATA) && $(TRAIN)/1-64-pixels.yaml --arch $(TINY)/tiny.json --output $(RUNS)/1-64-pixels --resume
	cd $(DATA) && $(TRAIN)/2-96-pixels.yaml --model $(RUNS)/1-64-pixels --output $(RUNS)/2-96-pixels --resume
	cd $(DATA) && $(TRAIN)/3-96-pixels-again.yaml --model $(RUNS)/2-96-pixels --output $(RUNS)/3-96-pixels-again --resume
	cd $(DATA) && $(TRAIN)/4-128-pixels.yaml --model $(RUNS)/3-96-pixels-again --output $(RUNS)/4-128-pixels --resume
	cd $(DATA) && $(TRAIN)/5-128-pixels-again.yaml --model $(RUNS)/4-128-pixels --output $(RUNS)/5-128-pixels-again --resume
	$(BIN)/python examples/pretrain-tiny/bundle.py $(RUNS)/5-128-pixels-again $(RUNS)/tiny
	$(BIN)/python examples/pretrain-tiny/figures.py $(RUNS)/tiny $(DATA)
	@echo "The model is in runs/tiny; that of the package is clipcli/models/tiny, with these figures in its card."

clean:
	rm -rf $(VENV) build dist demo-labels.csv demo-labels.csv.json

$(VENV)/%.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
