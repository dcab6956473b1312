# Two commands for everyone: `make demo` and `make test`. Each sets up .venv itself, once, and again when
# setup.cfg changes. Another Python: make PYTHON=python3.12 test
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
# Two processes, each with one BLAS thread, fit two cores; `make test WORKERS=0` runs in one.
WORKERS ?= 2
PYTEST := OPENBLAS_NUM_THREADS=$(if $(filter 0,$(WORKERS)),2,1) $(RUN) -m pytest -q

# The environment is made anew when its Python does not run, or is not the one asked for.
version = $(shell $(1) -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
ifneq ($(origin PYTHON),file)
  asked := $(call version,$(PYTHON))
endif
found := $(shell $(RUN) -c "import pip, sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
ifeq ($(found),)
  anew := yes
else ifneq ($(filter-out $(found),$(asked)),)
  anew := yes
endif
ifdef anew
  $(shell rm -f $(VENV)/*.stamp)
endif

# A developer's environment serves every target, so one that is there is used.
for = $(VENV)/$(if $(wildcard $(VENV)/dev.stamp),dev,$(1)).stamp

.PHONY: help demo test check dev lint types layout docs ops-table bench array-api mutation clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    train a network on handwritten digits and write a report to runs/demo/"
	@echo "make test    run the tests"
	@echo "make dev     set up .venv for development"
	@echo "make check   everything CI runs: lint, types, docs, test"
	@echo "             one by one: make lint types docs layout bench"

$(VENV)/usable.stamp:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || \
	  { echo "tinygrad_dl needs Python 3.10 or newer; '$(PYTHON)' is not. Say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@test -z "$(anew)" || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/demo.stamp: extras = viz,train,data
$(VENV)/test.stamp: extras = viz,train,data,test
$(VENV)/dev.stamp: extras = dev
$(VENV)/demo.stamp $(VENV)/test.stamp $(VENV)/dev.stamp: setup.cfg pyproject.toml | $(VENV)/usable.stamp
	@echo "Installing tinygrad_dl[$(extras)] into $(VENV) ..."
	@$(PIP) install --prefer-binary --editable ".[$(extras)]"
	@touch $@

demo: $(call for,demo)
	@$(RUN) -m tinygrad_dl demo $(ARGS)

test: $(call for,test)
	@$(PYTEST) -n $(WORKERS) $(ARGS)

dev: $(VENV)/dev.stamp
	@echo "Ready: . $(VENV)/bin/activate"

# Every part runs, whatever failed before it; the tests come last, so that the last lines say how many passed.
check: $(VENV)/dev.stamp
	@failed=""; for part in lint types docs test; do \
	  $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	test -z "$$failed" || { echo "make check: failed:$$failed" >&2; exit 1; }

lint: $(VENV)/dev.stamp
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .
	@echo "lint: ok"

# Type checkers see nn/ and optim/ as parts of the package only where it is installed.
types: $(VENV)/dev.stamp
	@rm -rf build
	@$(PIP) install --no-deps --no-build-isolation --target build/types .
	@cd build/types && $(abspath $(RUN)) -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache \
	  -p tinygrad_dl

layout: $(call for,test)
	@$(PYTEST) tests/test_layout.py

docs: $(VENV)/dev.stamp
	@$(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

ops-table: $(VENV)/dev.stamp
	@$(RUN) docs/ops_table.py

bench: $(call for,demo)
	@$(RUN) -m benchmarks $(ARGS)

# SUITE: a checkout of data-apis/array-api-tests with its submodule; its requirements are installed into .venv.
array-api: $(VENV)/dev.stamp
	@test -f "$(SUITE)/requirements.txt" || \
	  { echo "Say where the suite is: make array-api SUITE=path/to/array-api-tests" >&2; exit 1; }
	@$(PIP) install -r "$(SUITE)/requirements.txt"
	@$(RUN) -m benchmarks.array_api "$(SUITE)"

mutation: $(call for,test)
	@OPENBLAS_NUM_THREADS=1 $(RUN) -m tests.mutation $(ARGS)

clean:
	@rm -rf build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
