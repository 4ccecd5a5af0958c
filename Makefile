# Two commands do everything, install included: `make demo` and `make test`.
PY = .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help setup setup-test warm-up demo try screenshots market notebooks stories nodes cluster docs test test-slow coverage test-dp faults soak bench-nodes install-check crash fuzz fuzz-sql lint bench okvs wheels lock clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

setup:
	@sh scripts/setup.sh

setup-test:
	@sh scripts/setup.sh test

warm-up: setup   ## compile the fast kernels once
	@.venv/bin/cleanroom warm-up

demo: warm-up    ## the whole story on sample data; ends with the path of an HTML report
	@.venv/bin/cleanroom demo --home demo-home --replace

try: warm-up     ## a merchant, a platform, an operator and a provider on made-up people, with their consoles
	@.venv/bin/cleanroom demo --serve --home try-home

screenshots: setup-test ## every page of the console in both languages, widths and schemes; what axe and the clock say
	$(PY) -m tests.console.browser.crawling docs/evidence/console.md

market: warm-up
	@$(PY) -c "from cleanroom.demo import ready; ready.warm()"

notebooks: setup-test market ## all notebooks, from the first cell to the last
	@sh scripts/tests.sh --nbmake notebooks -n 2

stories: setup-test market ## what people come for, in a real browser at the consoles of four nodes; every page; every scene
	@sh scripts/tests.sh tests/console/browser tests/demo -n 2 --dist loadgroup -m slow

docs: setup-test ## the documentation's site, into site/
	$(PY) -m mkdocs build --strict

lint: setup      ## style, types, layers
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && .venv/bin/lint-imports --no-cache

cluster: setup-test ## what needs Spark's Java: the engine's conformance, rooms on clusters, faults
	@sh scripts/tests.sh tests/cluster -n 0 -m "cluster and not slow"

nodes: setup-test ## runs between real nodes: answers, faults, what each could see
	@sh scripts/tests.sh tests/node tests/boards -n 3 --dist loadgroup -m "nodes and not slow"

test: setup-test ## lint, types, layers, all tests but the slow ones and those of `make nodes` and `make cluster`
	$(PY) -m compileall -q cleanroom connectors protocols cli.py
	$(MAKE) --no-print-directory -j 2 lint market
	@sh scripts/tests.sh -n 4 --dist loadgroup -m "not slow and not nodes and not cluster"

test-slow: setup-test ## the tests that `make test` leaves out: stories and pages in a browser, Spark in full, faults (half an hour)
	.venv/bin/cleanroom warm-up
	PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n 2 --dist loadgroup -m slow -v > docs/evidence/test-slow.txt; done=$$?; cat docs/evidence/test-slow.txt; exit $$done

coverage: setup-test ## all tests, the slow ones too, with branch coverage: 90 % at least
	.venv/bin/cleanroom warm-up
	$(PY) -m coverage erase
	PYTHONDONTWRITEBYTECODE= $(PY) -m coverage run -m pytest -n 4 --dist loadgroup
	$(PY) -m coverage combine -q && $(PY) -m coverage report | tee docs/evidence/coverage.txt

test-dp: setup-test ## the noise against its claims: 500 pairs of data sets x 20,000 draws a mechanism (ten minutes)
	PYTHONPATH=tests $(PY) -m dp docs/evidence/dp.txt

faults: setup-test ## every fault of the table done to real nodes, and what came of it at each side (minutes)
	$(PY) -m tests.node.faults | tee docs/evidence/faults.txt
	$(PY) -m pytest tests/node -n 0 -m slow

soak: setup-test ## nodes under questions, cuts and kills for an hour; SECONDS=600 for ten minutes
	$(PY) -m tests.node.soak $(or $(SECONDS),3600) | tee docs/evidence/soak.txt

bench-nodes: setup-test ## runs over nodes: against socket pairs, over a slow line, after a cut, fifty at once
	$(PY) -m benchmarks.nodes | tee docs/evidence/nodes.md

install-check: setup-test ## scripts/install.sh into an empty prefix, from the lock (minutes)
	CLEANROOM_TRY_INSTALL=1 $(PY) -m pytest tests/operations/test_deployment.py -n 0

crash: setup-test ## kill -9 at over 1,000 points of the ledger (minutes)
	$(PY) tests/ledger/crash.py points $$(mktemp -d) 2000 | tee docs/evidence/crash.txt

fuzz: setup-test ## everything that parses, guided by coverage; TARGETS="csv room", SECONDS=60 each (Linux)
	$(PY) -m pip install -q "atheris>=3.0,<4"
	$(PY) -m tests.fuzz.guided.parsers $(TARGETS) --seconds $(or $(SECONDS),60) | tee docs/evidence/fuzz.txt

fuzz-sql: setup-test ## a million statements: the gate against DuckDB (half an hour)
	$(PY) -m tests.fuzz.guided.sql | tee docs/evidence/fuzz-sql.txt

bench: setup     ## times, memory and bytes beside plain joins; PEERS=1: beside peers too; QUICK=1: small sizes
	$(PY) -m benchmarks --save $(if $(PEERS),--peers) $(if $(QUICK),--quick)

okvs: setup      ## how often vole's rows cannot be solved, against the formula (a minute)
	$(PY) -m benchmarks.okvs_failure 20000 | tee docs/evidence/okvs.txt

wheels: setup    ## whether every locked package has wheels for Linux, Windows and macOS
	$(PY) scripts/wheels.py

LOCK = uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:            ## renew requirements.lock, and requirements-test.lock with what the tests need (needs uv)
	$(LOCK) --extra test --upgrade -o requirements-test.lock
	$(LOCK) -c requirements-test.lock -o requirements.lock

clean:           ## remove what was built
	rm -rf .venv site screenshots try-home build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-home
