# `make demo` and `make test` are all a newcomer needs: each sets up everything first.
# PYTHON=python3.12 chooses the interpreter, EXTRAS=name further parts (dask, epics).
# `make demo EXTRAS=epics OPTIONS=--epics` scans through real Channel Access.
SHELL  := bash
PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?=
OPTIONS ?=
# Tests run in so many processes, each with one thread.
PROCESSES ?= 2
# And those that spend half of their time waiting for servers and services.
WAITING ?= 4
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed$(EXTRAS)
FOLDERS := agent benchmarks models plans simulated_beamline

# Two thread pools on two cores are several times slower than one thread each.
export OMP_NUM_THREADS ?= 1
export NUMBA_NUM_THREADS ?= 1
# Tests load ONNX Runtime themselves, too: it would report to its maker.
export ORT_DISABLE_TELEMETRY ?= 1
# Hundreds of processes begin in tests: none should compile all of ours anew.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test long endure lint types imports kernels docs bench lock clean

demo: $(STAMP)
	$(BIN)/ringwatch demo $(OPTIONS)

test: $(STAMP)
	$(MAKE) -j2 -O lint types imports kernels docs
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -m 'not alone and not long'
	$(BIN)/python -m pytest -m alone

# Tests that take a minute or longer each.
long: $(STAMP) kernels
	$(BIN)/python -m pytest -n $(WAITING) --dist loadfile -m long

# Crashes, outages, bursts, fuzz and a soak at full length; quick forms are in `test`.
endure: $(STAMP)
	RINGWATCH_ENDURE=full $(BIN)/python -m pytest tests/endure -n $(WAITING) --dist load --maxschedchunk 1 -m 'not alone'
	RINGWATCH_ENDURE=full $(BIN)/python -m pytest tests/endure -m alone --durations=10

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) .types/ringwatch
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

# Compiled once and kept: else each process that tests begin compiles the same.
kernels: $(STAMP)
	$(BIN)/python -c 'from ringwatch.agent.quality import warm_up_flags; warm_up_flags()'

# Into build/docs; a warning, such as a link that leads nowhere, is an error.
docs: $(STAMP)
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs
	$(BIN)/python docs/check_links.py build/docs

# Writes docs/speed.md, docs/speed.json and the README's table; on a quiet machine.
bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py

# Type checkers do not see through the editable install of a mapped namespace: five
# relative links serve them alone.
.types/ringwatch:
	mkdir -p $@
	for folder in $(FOLDERS); do ln -sfn ../../$$folder $@/$$folder; done

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q 'pip>=25.1'
	$(BIN)/python -m pip install -q -c constraints.txt -e '.$(if $(EXTRAS),[$(EXTRAS)])' --group test --group docs
	touch $@

# torch stays out of the resolution (it would bring twenty CUDA pins); one pin is added.
lock:
	echo "torch ; python_version < '0'" > .no-torch.txt
	uv pip compile -q --universal --python-version 3.11 pyproject.toml \
	  --group pyproject.toml:test --group pyproject.toml:docs --all-extras --overrides .no-torch.txt \
	  --no-annotate --no-header -o .constraints.new
	(echo "# Made by 'make lock'. torch is pinned by hand: a looser pin brings gigabytes of CUDA."; \
	  cat .constraints.new; echo "torch==2.13.0") > constraints.txt
	rm -f .no-torch.txt .constraints.new

clean:
	rm -rf $(VENV) .types .mypy_cache .ruff_cache .pytest_cache
