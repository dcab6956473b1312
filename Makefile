# Two commands for everyone: `make demo` and `make test`. Each sets up .venv itself, once, and again when
# setup.cfg changes. Another Python: make PYTHON=python3.12 test
# GNU make 3.81 (macOS) or newer; on Windows with bash on the path, as in Git Bash.
ifeq ($(OS),Windows_NT)
  SHELL := bash
  PYTHON ?= python
  BIN := Scripts
else
  PYTHON ?= python3
  BIN := bin
endif
VENV ?= .venv
RUN := $(VENV)/$(BIN)/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
# Two processes, each with one BLAS thread, fit two cores; `make test WORKERS=0` runs in one.
WORKERS ?= 2
PYTEST := OPENBLAS_NUM_THREADS=$(if $(filter 0,$(WORKERS)),2,1) $(RUN) -m pytest -q

# The environment is created again when its Python does not run or is not the one asked for.
version = $(shell $(1) -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
ifneq ($(origin PYTHON),file)
  asked := $(call version,$(PYTHON))
endif
found := $(shell $(RUN) -c "import pip, sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
ifeq ($(found),)
  stale := yes
else ifneq ($(filter-out $(found),$(asked)),)
  stale := yes
endif
ifdef stale
  $(shell rm -f $(VENV)/*.stamp)
endif

# A developer's environment serves every target, so it is used where it exists.
for = $(VENV)/$(if $(wildcard $(VENV)/dev.stamp),dev,$(1)).stamp

.PHONY: help demo test check dev lint types layout docs site notebooks ops-table names-table onnx-table torch-table bench array-api mutation clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    train a network on handwritten digits and write a report to runs/demo/"
	@echo "make test    run the tests"
	@echo "make notebooks  the tutorials as Jupyter notebooks, in notebooks/"
	@echo "make dev     set up .venv for development"
	@echo "make check   everything CI runs: lint, types, docs, test"
	@echo "             one by one: make lint types docs layout bench"

$(VENV)/usable.stamp:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || \
	  { echo "tinygrad_dl needs Python 3.10 or newer; '$(PYTHON)' is not. Choose one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@test -z "$(stale)" || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/demo.stamp: extras = viz,train,data
$(VENV)/test.stamp: extras = viz,train,data,fast,test
$(VENV)/dev.stamp: extras = dev
$(VENV)/demo.stamp $(VENV)/test.stamp $(VENV)/dev.stamp: setup.cfg setup.py pyproject.toml | $(VENV)/usable.stamp
	@echo "Installing tinygrad_dl[$(extras)] into $(VENV) ..."
	@$(PIP) install --prefer-binary --editable ".[$(extras)]"
	@touch $@

demo: $(call for,demo)
	@$(RUN) -m tinygrad_dl demo $(ARGS)

test: $(call for,test)
	@$(PYTEST) -n $(WORKERS) $(ARGS)

dev: $(VENV)/dev.stamp
	@echo "Ready: . $(VENV)/$(BIN)/activate"

# Every part runs even if one before it failed, two at a time as none but the tests uses two cores. The tests come last,
# so that the output ends with their summary.
check: $(VENV)/dev.stamp
	@failed=""; \
	$(MAKE) --no-print-directory --keep-going --jobs=2 docs lint types || failed=" lint, types or docs: see above"; \
	$(MAKE) --no-print-directory test || failed="$$failed test"; \
	test -z "$$failed" || { echo "make check: failed:$$failed" >&2; exit 1; }

lint: $(VENV)/dev.stamp
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --quiet --check .
	@echo "lint: ok"

# Both check the package as an editable install links it; pyproject.toml configures them.
types: $(VENV)/dev.stamp
	@$(RUN) -m mypy -p tinygrad_dl
	@$(RUN) -m pyright --pythonpath $(RUN)

layout: $(call for,test)
	@$(PYTEST) tests/test_layout.py

docs: $(VENV)/dev.stamp
	@$(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs: docs/_build/html/index.html"

# The pages of each release and of the working tree, in docs/_build/site; DOCS_URL is where they are published.
site: $(VENV)/dev.stamp
	@$(RUN) docs/versions.py

notebooks: $(VENV)/dev.stamp
	@$(RUN) docs/as_notebooks.py

ops-table: $(VENV)/dev.stamp
	@$(RUN) docs/ops_table.py

names-table: $(VENV)/dev.stamp
	@$(RUN) docs/coming_from.py

onnx-table: $(VENV)/dev.stamp
	@$(RUN) docs/onnx_table.py

torch-table: $(VENV)/dev.stamp
	@$(RUN) docs/torch_table.py

bench: $(call for,demo)
	@$(RUN) -m benchmarks $(ARGS)

# SUITE is a checkout of data-apis/array-api-tests with its submodule. Its requirements are installed into .venv.
array-api: $(VENV)/dev.stamp
	@test -f "$(SUITE)/requirements.txt" || \
	  { echo "SUITE must name a checkout of the suite: make array-api SUITE=path/to/array-api-tests" >&2; exit 1; }
	@$(PIP) install -r "$(SUITE)/requirements.txt"
	@$(RUN) -m benchmarks.array_api "$(SUITE)"

mutation: $(call for,test)
	@OPENBLAS_NUM_THREADS=1 $(RUN) -m tests.mutation $(ARGS)

clean:
	@rm -rf build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
