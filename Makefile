# make demo   label real photos and print the result
# make test   run the tests; make fast leaves the slow ones out
# make check  lint, types and tests
# make fuzz   give the readers of files any bytes, for MINUTES=10; what fails goes to tests/fuzz/crashes
# make faults kill, cut the power of, and fill the disks of runs a hundred times each (long)
# make mutants  what share of small faults the fast tests notice (25 minutes)
# make docs   write anew what the docs have from the code
# make tiny   make the bundled model again, in runs/ (two hours; goes on with the step that was stopped)
# Each makes .venv and installs what it needs, the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The folder of the data that `make tiny` learns from.
DATA ?= ../shared/data
TINY := $(CURDIR)/examples/pretrain-tiny
RUNS := $(CURDIR)/runs
MINUTES ?= 10
SOURCES := $(RUNS)/sources
CONFIG := $(TINY)/open_clip_config.json
STEP := $(BIN)/python $(TINY)

.PHONY: demo test fast check fuzz faults mutants docs tiny clean

demo: $(VENV)/demo.installed
	$(BIN)/python examples/demo_photos.py $(VENV)/demo-photos
	$(BIN)/clipcli classify $(VENV)/demo-photos --labels examples/demo-labels.txt --model tiny --output demo-predictions.csv --overwrite
	cat demo-predictions.csv
	@echo
	@echo "Your own photos: $(BIN)/clipcli classify PHOTOS --labels 'cat, dog, beach' --report photos.html"

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

fuzz: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz $(MINUTES)

faults: $(VENV)/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/faults --rounds 50

mutants: $(VENV)/dev.installed
	$(BIN)/python -m pip install --quiet cosmic-ray
	$(BIN)/python tests/mutants.py

docs: $(VENV)/dev.installed
	$(BIN)/python docs/make.py

# What is there already is not made again.
tiny: $(VENV)/transformers.installed
	$(STEP)/sources.py $(SOURCES)
	$(STEP)/features.py $(CONFIG) $(SOURCES) $(RUNS)/features $(DATA)/flickr8k.zip/train $(DATA)/tiny-imagenet.zip/train
	$(STEP)/collect.py $(SOURCES) $(RUNS)/texts $(RUNS)/features/flickr8k-train.json
	$(STEP)/teacher.py $(CONFIG) $(SOURCES) $(RUNS)/features $(RUNS)/texts $(RUNS)/teacher.pt
	$(STEP)/student.py $(CONFIG) $(SOURCES) $(RUNS)/texts $(RUNS)/teacher.pt $(RUNS)/model
	$(STEP)/bundle.py $(RUNS)/model $(RUNS)/tiny
	$(STEP)/figures.py $(RUNS)/tiny $(DATA) $(SOURCES)
	@echo "The model is in runs/tiny; that of the package is clipcli/models/tiny, with these figures in its card."

clean:
	rm -rf $(VENV) build dist demo-predictions.csv demo-predictions.csv.json

$(VENV)/%.installed: pyproject.toml | $(BIN)/python
	@echo "Installing clipcli and torch into $(VENV), once: some minutes, and 1 to 6 GB of disk (more with torch for cards)."
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
