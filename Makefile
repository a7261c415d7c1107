# make grade | test | lab: each creates the environment on its first call; later calls find it there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# torch's threads wait for each other in a busy loop by default; where another process wants the same cores, as in a
# grading run, that makes a network up to ten times slower.
OMP_WAIT_POLICY ?= passive
export OMP_WAIT_POLICY

.PHONY: help grade test test-full lab notebooks sandbox browser clean

help:
	@echo "make grade      build the sample class, grade it, print the table"
	@echo "make test       ruff, mypy, import-linter and the tests"
	@echo "make test-full  the same with the slow tests"
	@echo "make lab        JupyterLab on notebooks/"
	@echo "make notebooks  write notebooks/ from autograder/source/"
	@echo "make clean      delete the environment and what grading has written"

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embedded,handin,grading,dev]'
	touch $@

# bubblewrap isolates submissions. Where it is missing and we may install it, we do; elsewhere grading says what to do.
sandbox:
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null; } || \
	  echo "bubblewrap is missing: sudo apt-get install bubblewrap (or your system's package of that name)"

# The tests open pages with students' words in a real browser, and click on everything.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	  echo "Chromium is missing: sudo apt-get install chromium (or your system's package of that name)"

grade: $(INSTALLED) sandbox
	$(BIN)/python -m autograder sample

test: $(INSTALLED) sandbox browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-full: test
	$(BIN)/python -m pytest -m full

lab: $(INSTALLED)
	cd notebooks && ../$(BIN)/jupyter lab

notebooks: $(INSTALLED)
	$(BIN)/python -m autograder notebooks

clean:
	rm -rf $(VENV) autograder/sample_course
