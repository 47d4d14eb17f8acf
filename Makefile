# `make` alone lists the targets. Every target sets up the environment that it needs.
.DEFAULT_GOAL := help
.PHONY: help up serve setup test test-long check bench bench-check bench-full format requirements messages openapi api-examples pictures
MAKEFLAGS += --no-print-directory

python = .venv/bin/python
BROWSER ?= 1
ARGS ?=
INSTANT ?=

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

up: ## install, migrate, create demo data the first time, and serve until Ctrl-C
	@.ci/setup run && exec $(python) manage.py up

serve: ## install, migrate and serve until Ctrl-C, without demo data
	@.ci/setup run && exec $(python) manage.py serve

setup: ## create the environment for running, testing and checking
	@.ci/setup dev

test: ## run every test on SQLite, and beside it those marked `both` on PostgreSQL (ARGS="-k gate", BROWSER=0, INSTANT=2028-02-29T14:00)
	@.ci/setup $(if $(filter 0,$(BROWSER)),dev,browser) && BROWSER=$(BROWSER) VALHALLA_TEST_INSTANT=$(INSTANT) exec .ci/test $(ARGS)

test-long: ## the same with the slow tests, and all database tests on PostgreSQL too
	@.ci/setup $(if $(filter 0,$(BROWSER)),dev,browser) && BROWSER=$(BROWSER) VALHALLA_TEST_INSTANT=$(INSTANT) exec .ci/test --long $(ARGS)

check: ## check style, types, import layers, templates, production settings, migrations
	@.ci/setup dev && exec .ci/check

bench: ## measure what each call costs at 10,000 and 100,000 tasks (ARGS="--calls due sla --against main~1")
	@.ci/setup dev && exec $(python) -m bench $(ARGS)

bench-check: ## fail when a call takes more statements, or 40 % more bare views, than bench/baseline.json says
	@.ci/setup dev && exec $(python) -m bench --sizes 10000 --rounds 5 --seconds 0.3 --check $(ARGS)

bench-full: ## measure at 10 thousand, 100 thousand, 1 and 10 million tasks; the filled databases are kept
	@.ci/setup dev && exec $(python) -m bench --sizes 10000 100000 1000000 10000000 --seconds 2 $(ARGS)

format: ## format code and templates as `make check` expects
	@.ci/setup dev
	@.venv/bin/ruff check --quiet --fix; .venv/bin/ruff format
	@git ls-files -z --cached --others --exclude-standard '*.html' | xargs -0 -r .venv/bin/djade --target-version 5.2

requirements: ## compile requirements*.in into requirements*.txt, with hashes (ARGS=--upgrade for new versions)
	@.ci/setup dev
	$(python) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(ARGS) requirements.in -o requirements.txt
	$(python) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(ARGS) requirements-mcp.in -o requirements-mcp.txt
	$(python) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(ARGS) requirements-dev.in -o requirements-dev.txt

messages: ## collect the texts into locale/, and compile the translations (needs gettext)
	@.ci/setup dev
	$(python) manage.py makemessages --locale fr --no-obsolete --add-location file \
		--ignore .venv --ignore "*/tests/*" --ignore "*/migrations/*"
	@po=locale/fr/LC_MESSAGES/django.po; sed -i.bak '/^"POT-Creation-Date/d' $$po && rm $$po.bak
	$(python) manage.py compilemessages --locale fr --ignore .venv

openapi: ## write the API's schema and cookbook, docs/openapi.json and docs/cookbook.md (ARGS=--released: it is released, so promise it to clients)
	@.ci/setup dev && exec $(python) manage.py openapi $(ARGS)

api-examples: ## make every call of the API once and write what it answers, docs/api-examples.json
	@.ci/setup dev && VALHALLA_WRITE_EXAMPLES=1 $(python) -m pytest -q valhalla/tests/test_cookbook.py -k succeeds
	@exec $(python) manage.py openapi

pictures: ## take the pictures of the README again from the demo data, in docs/pictures/
	@.ci/setup browser && exec $(python) .ci/pictures
