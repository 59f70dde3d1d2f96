# Two commands that need nothing but Python: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test bench lint examples clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## Train an example in three frameworks, plot the curves, verify its programs.
	$(BIN)/python examples/digits_demo.py build/digits_cnn
	$(BIN)/seqgen verify examples/digits_cnn.yaml --training

test: $(STAMP)  ## Run all tests.
	$(BIN)/python -m pytest -n 2

bench: $(STAMP)  ## Print the ratios of the benchmarks.
	$(BIN)/python -m tests.benchmarks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet seqgen tests

examples: $(STAMP)  ## Generate the checked-in programs of the examples again.
	$(BIN)/python -m tests.renew

clean:
	rm -rf $(VENV) build dist
