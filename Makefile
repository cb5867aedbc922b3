# Every job has one word. Each sets up .venv first when that is needed; `make` alone lists them.
PYTHON ?= $(shell command -v python3 || command -v python)
VENV := $(or $(EDGELAB_VENV),.venv)
RUN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts/python.exe,bin/python)
# Last chapter first: each then runs without those before it, and makes for itself what it needs.
NOTEBOOKS = $(shell ls -r notebooks/*.ipynb)
# Exceptions are in .codespellrc.
SPELLED = README.md CONTRIBUTING.md Makefile benchmarks data docs edgelab notebooks tests tools

# Some containers forbid Python to keep what it compiles; TensorFlow then starts in 24 seconds instead of 8.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help setup lab run test test-chapters test-package test-course check fuzz strip texts targets slides site student grade class board-kit progress rknn coreml lint clean lock web-files
.DEFAULT_GOAL := help

help:
	@echo "make lab     open JupyterLab on the first notebook"
	@echo "make run     execute every chapter into build/index.html   (ARGS=\"--only 04,08 --profile full\")"
	@echo "make test    check style, run the unit tests and every notebook   (FAST=1: the quick part)"
	@echo "make check   print what this machine has, and how to fix what is missing"
	@echo "make progress print how many exercises are solved, chapter by chapter"
	@echo "make slides  the chapters as slides, complete offline, in build/slides"
	@echo "make site    the chapters as a site with search, complete offline, in build/site"
	@echo "make targets print which accelerator compiles here, runs here, and what the others need"
	@echo "make rknn    install Rockchip's compiler beside the course, in .venv-rknn (Linux, 0.6 GB)"
	@echo "make coreml  add Apple's converter for iPhones and Macs (Linux on x86-64, macOS; 45 MB)"
	@echo "make web-files fetch what models in a browser need, once (12 MB; EDGELAB_WEB_FILES names where)"
	@echo "make qualcomm fetch the compiler of Snapdragon's NPUs, after asking for its licence (Linux, 0.25 GB)"
	@echo "make student write the edition to hand out, without solutions, into build/student"
	@echo "make grade   grade a folder of submitted notebooks into build/grades   (DIR=submissions)"
	@echo "make class   put a class's results into one table and plot, in build/board   (DIR=results)"
	@echo "make board-kit  one zip that sets a board up for models without a network   (ARGS=\"--machine aarch64 --python 3.11\")"
	@echo "make fuzz    try thousands of odd folders, models and submissions   (EXAMPLES=5000)"
	@echo "make lint    check style, spelling, links, and that notebooks are built as they should be"
	@echo "make strip   take out of the notebooks what running them has put in, before a commit"
	@echo "make texts   collect what is to be translated into edgelab.pot"
	@echo "make clean   delete build/ and all caches, but not artifacts/"
	@echo "make lock    resolve the exact versions again (needs uv)"

setup:
	@"$(PYTHON)" tools/bootstrap.py

lab: setup
	@"$(RUN)" -m edgelab lab $(ARGS)

run: setup
	@"$(RUN)" -m edgelab run $(ARGS)

check: setup
	@"$(RUN)" -m edgelab check

progress: setup
	@"$(RUN)" -m edgelab progress

slides: run
	@"$(RUN)" -m edgelab slides

site: run
	@"$(RUN)" -m edgelab site

targets: setup
	@"$(RUN)" -m edgelab targets

student: setup
	@"$(RUN)" -m edgelab student $(ARGS)

grade: setup
	@"$(RUN)" -m edgelab grade "$(or $(DIR),$(error Name the folder: make grade DIR=submissions))" $(ARGS)

class: setup
	@"$(RUN)" -m edgelab class "$(or $(DIR),$(error Name the folder: make class DIR=results))" $(ARGS)

board-kit: setup
	@mkdir -p build && "$(RUN)" -m edgelab board kit build/board-kit.zip $(ARGS)

rknn:
	@"$(PYTHON)" tools/make_rknn.py

coreml: setup
	@"$(RUN)" tools/make_coreml.py

web-files: setup
	@"$(RUN)" -m edgelab web --fetch

# Its libraries have a licence of their own: never part of the set-up, and no test needs it.
.PHONY: qualcomm
qualcomm: setup
	@"$(RUN)" tools/make_qualcomm.py $(ARGS)

lint: setup
	"$(RUN)" -m ruff check .
	"$(RUN)" -m ruff format --check .
	"$(RUN)" -m nbstripout --verify --keep-id --keep-count --drop-empty-cells $(NOTEBOOKS)
	"$(RUN)" -m codespell_lib $(SPELLED)
	"$(RUN)" -m pytest -q tests/notebooks/test_structure.py tests/unit/project/test_links.py

strip: setup
	@"$(RUN)" tools/strip_notebooks.py

# The notebooks, the unit tests, then what needs the executed course: pages, slides, site, interrupts. One after the
# other, each on all processors: TensorFlow trains five times slower where others take its processors away.
# `make test FAST=1` is for a developer's loop: style, unit tests without the targets' compilers, two chapters.
# `make test ALONE=08,10` (or ALONE=all) also runs these chapters, each alone from an empty folder;
# with EDGELAB_INTERRUPTED=03,09 these are stopped while they run (EDGELAB_SEED chooses the moments).
# EDGELAB_TEST_KEPT=FOLDER keeps between runs what follows from content alone: models, chapters that passed.
ALONE ?=
FAST ?=
JOBS ?= $(shell "$(PYTHON)" -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")
# A test that waits for another process leaves its processor to one worker more.
WORKERS = $(shell "$(PYTHON)" -c "print($(JOBS) + 1)")
PYTEST = "$(RUN)" -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder
CHAPTERS = $(if $(FAST),notebooks/00_start_here.ipynb notebooks/02_environment_check.ipynb,$(NOTEBOOKS))
PACKAGE = tests/unit tests/fuzz $(if $(FAST),-m "not slow" --ignore tests/unit/targets)
test: export EDGELAB_LANGUAGE =
test: lint
	rm -rf build/test-artifacts && mkdir -p build
	@status=0; for part in test-chapters test-package $(if $(FAST),,test-course); do \
	  $(MAKE) --no-print-directory $$part || status=1; done; exit $$status

# From an empty artifacts folder, into which the other tests look, too.
MADE = $(CURDIR)/build/test-artifacts
IN_ARTIFACTS = EDGELAB_ARTIFACTS="$(MADE)" EDGELAB_TEST_ARTIFACTS="$(MADE)"
REPORT = build/chapters.xml
test-chapters: WORKERS = $(JOBS)
test-chapters:
	@untried=$$("$(RUN)" tests/kept.py begin "$(MADE)" $(CHAPTERS)) || exit; status=0; rm -f $(REPORT); \
	  if [ "$$untried" ]; then \
	    $(IN_ARTIFACTS) $(PYTEST) --nbval-lax --nbval-cell-timeout=1800 --junitxml=$(REPORT) $$untried || status=$$?; \
	    untried=$$("$(RUN)" tests/kept.py passed $(REPORT) $$untried); \
	  fi; \
	  "$(RUN)" tests/kept.py end "$(MADE)" $$untried || status=$$?; exit $$status

test-package:
	$(PYTEST) $(PACKAGE)

# One worker begins with the second run, another with the interrupted chapters: what takes longest comes first.
test-course:
	@status=0; $(IN_ARTIFACTS) EDGELAB_ALONE="$(ALONE)" $(PYTEST) tests/notebooks tests/browser tests/hardware \
	  || status=$$?; "$(RUN)" tests/kept.py end "$(MADE)"; exit $$status

fuzz: setup
	EDGELAB_FUZZ_EXAMPLES="$(or $(EXAMPLES),1000)" $(PYTEST) tests/fuzz

texts: setup
	@"$(RUN)" -m babel.messages.frontend extract -k tr -k tr_later -k tr_plural:1,2 -c Note: --project edgelab -o edgelab.pot edgelab

clean:
	rm -rf build .pytest_cache .ruff_cache .import_linter_cache
	find edgelab tests tools -name __pycache__ -type d -exec rm -rf {} +

lock:
	for extra in cpu cuda; do \
	  uv pip compile -q --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --python-version 3.10 \
	    --extra $$extra --extra targets --extra cluster --extra site --extra dev \
	    --constraint requirements/constraints.txt pyproject.toml -o requirements/$$extra.lock || exit 1; \
	done
	for extra in rknn coreml uv; do \
	  uv pip compile -q --universal --no-deps --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --python-version 3.10 requirements/$$extra.in -o requirements/$$extra.lock || exit 1; \
	done
	uv pip compile -q --universal --no-deps --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --python-version 3.11 requirements/qualcomm.in -o requirements/qualcomm.lock
