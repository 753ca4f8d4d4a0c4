# Everything Paigong can be told to do. `make help` lists it.
#
# make demo installs what the server needs at run time, nothing more; every other target installs the development
# dependencies too. Both come from lock files with hashes into .venv, once (.ci/install.py).

PY := .venv/bin/python
# one process per core, up to eight: more only wait for the database; whoever is done takes over from the others
WORKERS ?= auto
CASES ?= 2000

# The Python that makes .venv: PYTHON=... if given, else the first of these that is 3.11 or newer and has venv.
find-python = for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exec $$p .ci/install.py $(1); done; \
	  for p in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exec $$p .ci/install.py $(1); done; \
	  echo '需要 Python 3.11 或更新版本 (含 venv), 例如: sudo apt install python3 python3-venv, 或指定 make PYTHON=/path/to/python3.12'; \
	  echo 'Python 3.11 or newer with venv is needed, for example: sudo apt install python3 python3-venv, or name one: make PYTHON=/path/to/python3.12'; \
	  exit 1

.DEFAULT_GOAL := help
.PHONY: help setup runtime demo test check lint format types imports docs acceptance sim sim-bugs chaos bench-sync bench-memory bench-uploads bench-planner bench-explain bench-referee bench-heavy bench-travel twin schemathesis lock

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | expand -t 16

setup: ## install the development dependencies into .venv
	@$(call find-python,development)

runtime:
	@$(call find-python,runtime)

demo: runtime ## start the server with a generated city; Ctrl-C stops it, the data stays (OPTIONS=... are passed on)
	@exec $(PY) -m backend.cli demo $(OPTIONS)

test: setup ## run every test, on SQLite and on a PostgreSQL it brings itself (TESTS=... for some of them)
	@$(PY) -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal $(TESTS)

check: lint types imports test ## everything CI runs; the docs are among the tests

lint: setup ## rules and format (ruff)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: setup ## bring files into the house format and mend what can be mended without thinking
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

types: setup ## types (basedpyright)
	@$(PY) -m basedpyright

imports: setup ## who may import whom (import-linter)
	@.venv/bin/lint-imports

docs: setup ## links, commands and examples in README and docs
	@$(PY) -m pytest tests/docs

acceptance: setup ## a week of real outages from request to sealed report: make acceptance DATA=<folder> [DATABASE=postgresql|<url>]
	@test -n "$(DATA)" || { echo 'usage: make acceptance DATA=<folder> [DATABASE=postgresql|<url>]'; exit 2; }
	@$(PY) -m bench.acceptance --data "$(DATA)" $(if $(DATABASE),--database "$(DATABASE)")

sim: setup ## sync under every fault, every promise checked: make sim [SEED=1] [SEEDS=200] [STEPS=200] [STORE=memory|sqlite|both]
	@$(PY) -m bench.sim $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(STEPS),--steps $(STEPS)) $(if $(STORE),--store $(STORE)) $(OPTIONS)

sim-bugs: setup ## known bugs put into sync one at a time: the simulation must catch each
	@$(PY) -m bench.seeded_bugs $(OPTIONS)

chaos: setup ## two servers killed at random under eight phones on bad lines: what was missed, lost, done twice (MUTATIONS=100000 SEED=1; OPTIONS=--kill-database kills PostgreSQL, too)
	@$(PY) -m bench.chaos $(if $(MUTATIONS),--mutations $(MUTATIONS)) $(if $(SEED),--seed $(SEED)) $(OPTIONS)

bench-sync: setup ## sync's speeds beside Kinto and the bare database, on databases that wait for the disk (OPTIONS=... are passed on)
	@$(PY) -m bench.sync $(OPTIONS)

bench-memory: setup ## a server's memory while 200 phones pull everything at once (OPTIONS=... are passed on)
	@$(PY) -m bench.sync.memory $(OPTIONS)

bench-uploads: setup ## uploads to servers that are killed and changed meanwhile, and a server's memory while 20 come at once (OPTIONS=--s3)
	@$(PY) -m bench.uploads $(OPTIONS)

bench-planner: setup ## how good and how fast plans are, beside PyVRP, VROOM and OR-Tools alone (VRP_DATA=<folder>, OPTIONS="--rows vrptw,field --seeds 1")
	@$(PY) -m bench.planner $(OPTIONS)

bench-referee: setup ## thousands of random small problems: every plan legal, and as cheap as brute force (OPTIONS="--problems 10000 --seed 1 --steps 4000")
	@$(PY) -m bench.planner.referee_rows $(OPTIONS)

bench-heavy: setup ## problems as large or as odd as the limits allow: each ends in time, in a child's memory (OPTIONS="--seconds 10 --only crew")
	@$(PY) -m bench.planner.heavy_rows $(OPTIONS)

bench-explain: setup ## 500 visits without a place: every fix's witness plan before the referee, and proven reasons against brute force (OPTIONS="--visits 60")
	@$(PY) -m bench.planner.explain_rows $(OPTIONS)

twin: setup ## ways of dispatching on the same weeks of calls and luck: make twin [DATA=<folder with real outages>] (OPTIONS=... are passed on)
	@$(PY) -m backend.cli simulate $(if $(DATA),--outages "$(DATA)") $(OPTIONS)

bench-travel: setup ## how far travel times are off before and after learning, and how fast they come: make bench-travel DATA=<folder with .osm.pbf extracts>
	@test -n "$(DATA)" || { echo 'usage: make bench-travel DATA=<folder with .osm.pbf extracts>'; exit 2; }
	@$(PY) -m bench.travel --data "$(DATA)" $(OPTIONS)

schemathesis: setup ## the OpenAPI document against a running server, at least CASES=2000 cases
	@$(PY) -m bench.fuzz --cases $(CASES) $(OPTIONS)

lock: setup ## write the lock files anew from pyproject.toml, with the newest versions it allows
	@.ci/lock
