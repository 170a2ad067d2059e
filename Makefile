# Métis. `make demo` and `make test` do all their own set-up; they need Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
ONCE ?=
STAMP := .venv/.installed-by-make
RUNNING := kernel.web, kernel.migrate, gateway.app, services.registry.app, services.matching.app, services.credits.app, \
  services.notifications.app, cli.main, cli.demo.command, aiohttp, aiosmtpd.smtp, pydantic.v1

.DEFAULT_GOAL := help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(STAMP) ## the environment in .venv, from the hashed lock

# uv does the work: it is pinned in the lock like everything else, and ten times as fast as pip.
# What runs is imported here once, which compiles it: uv leaves that to the first import, and where PYTHONDONTWRITEBYTECODE
# is set, to every import. Compiling everything that is installed would take four times as long.
$(STAMP): requirements.lock pyproject.toml deploy/install.py
	@$(PYTHON) deploy/install.py
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import $(RUNNING)"
	@touch $@

demo: $(STAMP) ## a whole campaign of two towns, then serve until Ctrl-C (ONCE=1: play, report, stop)
	@$(BIN)/metis demo $(if $(ONCE),--once) $(if $(STATE),--state $(STATE))

up: $(STAMP) ## the platform on this machine, empty, until Ctrl-C
	@$(BIN)/metis up

test: $(STAMP) ## every test, on a real PostgreSQL and a real RabbitMQ that it finds or fetches (JOBS=2: side by side)
	$(BIN)/python -m pytest $(if $(JOBS),-n $(JOBS) --dist loadfile --max-worker-restart 0)

check: $(STAMP) ## format, lint, types, import rules, generated files
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy kernel services gateway cli bench tests
	$(BIN)/lint-imports
	$(BIN)/metis openapi --check
	$(BIN)/metis eventdocs --check
	$(BIN)/python -m services.matching.engine.tagging.build --check

skills-model: $(STAMP) ## learn the skills referential anew after a change of it (ten minutes at first, then seconds)
	@$(BIN)/python -m services.matching.engine.tagging.build --vectors .metis/skills-vectors

format: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

generate: $(STAMP) ## docs/api, docs/events and the gateway's route table, from the code
	$(BIN)/metis openapi
	$(BIN)/metis eventdocs

lock: $(STAMP) ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --upgrade -q -o requirements.lock

bench: bench-bus bench-gateway bench-ledger bench-statements bench-growth bench-matching bench-reserve bench-demo ## all measurements
bench-bus: $(STAMP) ## events per second against bare aio-pika
	@$(BIN)/python -m bench.bus
bench-gateway: $(STAMP) ## requests per second against nginx
	@$(BIN)/python -m bench.gateway
bench-ledger: $(STAMP) ## transfers per second against the bare limit (PGLEDGER=file.sql: and against pgledger)
	@$(BIN)/python -m bench.ledger $(if $(PGLEDGER),--pgledger $(PGLEDGER))
bench-statements: $(STAMP) ## a page and a balance in a small ledger and in a large one (ENTRIES=10000000)
	@$(BIN)/python -m bench.statements $(if $(ENTRIES),--entries $(ENTRIES))
bench-growth: $(STAMP) ## what a transfer costs in a small ledger and in a large one, in one territory and in a thousand (ENTRIES=10000000)
	@$(BIN)/python -m bench.growth $(if $(ENTRIES),--entries $(ENTRIES))
bench-matching: $(STAMP) ## what matching's texts, answers and rounds are worth, and what they cost (two hours; python -m bench.matching COMMAND: one of them)
	@$(BIN)/python -m bench.matching tagging --left-out --keep tagging
	@$(BIN)/python -m bench.matching links --keep links
	@$(BIN)/python -m bench.matching one_answer --keep one_answer
	@for size in "1000 5000" "10000 50000" "100000 500000" "100000 1000000"; do set -- $$size; \
	  $(BIN)/python -m bench.matching round --needs $$1 --volunteers $$2 --keep round_$$1x$$2 || exit 1; done
	@$(BIN)/python -m bench.matching plots
bench-reserve: $(STAMP) ## reserve and settle over HTTP through the gateway, and where the time goes
	@$(BIN)/python -m bench.reserve
bench-demo: $(STAMP) ## seconds and memory of the demo
	@$(BIN)/python -m bench.demo

compose-test: ## build the images and play the demo against the compose stack (needs Docker)
	deploy/compose/test.sh

clean: ## forget the demo's state
	rm -rf .metis build

.PHONY: help install demo up test check format generate lock bench bench-bus bench-gateway bench-ledger bench-statements bench-growth bench-matching bench-reserve bench-demo compose-test clean
