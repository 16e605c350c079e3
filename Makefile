# Kaiser's commands. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml))

# How many test files run at once: they wait for servers and periods most of the time, so three for each core. 0 runs
# them one after the other in this process.
TEST_JOBS ?= $(shell expr 3 \* $$(getconf _NPROCESSORS_ONLN))

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

# How long `make faults` takes: short (some minutes, as CI has it) or full.
FAULTS ?= full

# make send ESP=… GPIO=… TYPE=… VALUE=… UNIT=… REGISTER=1
ESP ?= ESP_0A1B2C3D
GPIO ?= 4
TYPE ?= DS18B20
VALUE ?= 21.5
UNIT ?= $(if $(filter DS18B20,$(TYPE)),°C)
REGISTER ?=

# make demo FILE=…
FILE ?= demo/greenhouse.yaml

# make run FACTORY=1: with the dialect of the model factory, its services and its sandbox broker
FACTORY ?=

# make replay FILE=… EXPECT=… SPEED=…
SPEED ?= max

# Standard library alone: whoever only runs containers needs no .venv.
SECRETS ?= .kaiser-secrets
export KAISER_SECRETS_DIR ?= $(CURDIR)/$(SECRETS)
DEPLOY = PYTHONPATH=tools/deploy/src:libs/common/src $(PYTHON) -m kaiser_deploy --folder $(SECRETS)

# Python keeps what it has compiled: without that, each process of a test run compiles the code again.
export PYTHONDONTWRITEBYTECODE =

# What people install from a registry: the command line, the Python client under it, and the messages that both know.
PUBLISHED = libs/common libs/client tools/cli

.DEFAULT_GOAL := help
.PHONY: help install run demo demo-remove screenshots send replay doctor test test-browser test-again test-clocks test-moments test-long speed faults faults-results bench figures soak lint format lock clean up down secrets certs device grants device-docs error-docs runbook-page test-compose images images-renew images-check wheels sbom publish

.DEFAULT:
	@echo "make $@: there is no such command; \`make\` alone lists them" >&2; exit 2

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.packages-installed ## create .venv with what requirements.lock says (skipped when up to date)

run: install ## start everything here; Ctrl-C stops it, the data stays in .kaiser: make run, or make run FACTORY=1
	@exec $(BIN)/python -m kaiser_stack run $(if $(FACTORY),--factory)

demo: install ## load a greenhouse of mock devices into the running stack: make demo, or make demo FILE=demo/factory.yaml
	@$(BIN)/python -m kaiser_demo load --file "$(FILE)"

demo-remove: install ## take the mock devices of `make demo` away again
	@$(BIN)/python -m kaiser_demo remove --file "$(FILE)"

screenshots: install ## take the pictures of the README from the running stack with its demo, into docs/pictures
	@$(BIN)/python -m kaiser_demo.screenshots

send: install ## send one reading and say what became of it: make send ESP=ESP_0A1B2C3D VALUE=21.5 REGISTER=1
	@$(BIN)/python -m kaiser_demo send --esp "$(ESP)" --gpio "$(GPIO)" --type "$(TYPE)" --value "$(VALUE)" --unit "$(UNIT)" $(if $(REGISTER),--register)

replay: install ## replay a recording as a test, which fails where its end differs: make replay FILE=session.jsonl EXPECT=expected.json SPEED=20
	@$(BIN)/python -m kaiser_demo replay --file "$(FILE)" $(if $(EXPECT),--expect "$(EXPECT)") --speed "$(SPEED)"

doctor: install ## look at the running parts and say what would lose data or fail later, each with its fix
	@$(BIN)/kaiser-doctor

# Where pytest notes what failed, for `make test-again`: runs beside each other need one each (CACHE=.pytest_cache/NAME).
CACHE ?= .pytest_cache
NOTING = -o cache_dir=$(CACHE)
IN_LINES = $(NOTING) -n $(TEST_JOBS) --maxprocesses 6 --dist loadfile --no-loadscope-reorder

test: install ## unit and integration tests on private servers, without a browser: make test ARGS="-k ingest"
	@$(BIN)/python -m pytest $(IN_LINES) -m "not faults and not speed and not browser" $(ARGS)

test-browser: install ## the tests that look at pages in Chromium, on private servers: make test-browser ARGS="-k explore"
	@$(BIN)/python -m pytest $(IN_LINES) -m "browser and not speed" $(if $(findstring tests/,$(ARGS)),,tests/integration) $(ARGS)

test-again: install ## run once more, one after the other, what failed in the last run (at most ten tests)
	@$(BIN)/python tests/again.py $(CACHE) $(ARGS)

test-clocks: install ## the tests without servers that tell the time, at midnight, on 29 February, …: make test-clocks CLOCK="--clock leap-day"
	@$(BIN)/python tests/clocks.py $(CLOCK) -- $(ARGS)

# The tests of poison messages take half of the time and decide nothing by a date.
MOMENTS ?= 2027-01-31T23:59:30+00:00 2028-02-29T23:59:30+00:00
test-moments: install ## tests with PostgreSQL that give the product its time, at the end of a month and on 29 February
	@for moment in $(MOMENTS); do KAISER_TEST_NOW=$$moment $(BIN)/python -m pytest -q -n 0 -p no:cacheprovider -k "not timescaledb" \
		$$(grep -l "^from moment import" services/*/tests/test_*.py | grep -v poison) $(ARGS) || exit 1; done

test-long: install ## the models, the short way of readings and the API with thousands of random examples
	@KAISER_TEST_LONG=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/test_delivery_model.py services/ingest/tests/test_ingest_usual.py services/actuator/tests/test_actuator_stops_model.py tests/integration/test_system_openapi.py $(ARGS)

speed: install ## the tests that assert seconds or CPU time, one after the other on a quiet machine
	@KAISER_TEST_FORK=0 $(BIN)/python -m pytest -m speed -n 0 -s $(ARGS)

faults: install ## kill, freeze, fill and cut off everything under load; verdicts in .faults: make faults FAULTS=short
	@KAISER_TEST_FORK=$(if $(filter full,$(FAULTS)),0,1) FAULTS=$(FAULTS) $(BIN)/python -m pytest $(NOTING) $(if $(filter full,$(FAULTS)),-m faults -s,-n 2 --dist loadfile tests/faults) $(ARGS)
	$(if $(filter full,$(FAULTS)),@$(MAKE) --no-print-directory test-long ARGS=)

faults-results: install ## one file of the verdicts in .faults, into bench/faults.json
	@PYTHONPATH=.:tests/support $(BIN)/python -m bench.faults $(ARGS)

bench: install ## how fast it is, into bench/results.json (an hour): make bench ARGS=--quick, or ARGS="--only latency growth-devices"
	@PYTHONPATH=.:tests/support $(BIN)/python -m bench $(ARGS)

figures: install ## draw the tables and charts of README and docs from the results in bench/
	@PYTHONPATH=. $(BIN)/python -m bench.figures

soak: install ## an hour at 5,000 readings a second and the demo factory: does any process grow? make soak ARGS="--minutes 120"
	@PYTHONPATH=.:tests/support $(BIN)/python -m bench.soak $(ARGS)

lint: install ## check style, types, imports between packages and the lock
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/registries.py
	@$(BIN)/python -m kaiser_deploy.images check --offline

up: secrets ## start everything in containers and wait until it is healthy: make up ARGS="--scale sensor=3"
	@docker compose kill --signal HUP nats mosquitto prometheus > /dev/null 2>&1 || true  # what runs reads its files again
	@$(DEPLOY) up -- $(ARGS)

down: ## end the containers; the data stays in their volumes
	@docker compose down $(ARGS)

secrets: ## make the secrets of the containers that are missing, in .kaiser-secrets
	@$(DEPLOY) secrets

certs: ## make a server certificate and turn TLS on: make certs HOST=broker.example.org ARGS=--bus
	@$(DEPLOY) certs $(addprefix --host ,$(HOST)) $(ARGS)
	@echo "then: docker compose restart mosquitto (and nats, with --bus)"

device: ## give a device a password at the broker of the containers and show it: make device ESP=ESP_0A1B2C3D (ARGS=--remove takes it away)
	@$(DEPLOY) device $(ESP) $(ARGS)
	@docker compose kill --signal HUP mosquitto 2> /dev/null || \
	  echo "the broker does not run in a container here: have it read its password file again (a broker of \`make run\` has its own: $(BIN)/python -m kaiser_stack device $(ESP))"

images: ## put the images of deploy/images.toml into compose.yaml, the Dockerfile and Kubernetes
	@PYTHONPATH=tools/deploy/src $(PYTHON) -m kaiser_deploy.images write

images-renew: ## ask the registry for the digest of each image's tag, and write it
	@PYTHONPATH=tools/deploy/src $(PYTHON) -m kaiser_deploy.images renew

images-check: ## compare the digests here with the registry's
	@PYTHONPATH=tools/deploy/src $(PYTHON) -m kaiser_deploy.images check

wheels: install ## build the wheels of the command line and its client into dist/, and try them in an environment of their own
	@rm -rf dist .venv/wheels && mkdir dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist $(addprefix ./,$(PUBLISHED))
	@cmp -s tools/cli/publish.lock .venv/publish/installed.lock || { rm -rf .venv/publish && $(BIN)/uv venv --quiet .venv/publish && \
		$(BIN)/uv pip install --quiet --require-hashes --python .venv/publish/bin/python -r tools/cli/publish.lock && \
		cp tools/cli/publish.lock .venv/publish/installed.lock; }
	@.venv/publish/bin/twine check --strict dist/*.whl
	@$(BIN)/uv venv --quiet .venv/wheels && $(BIN)/uv pip install --quiet --python .venv/wheels/bin/python dist/*.whl
	@.venv/wheels/bin/kaiser --version && .venv/wheels/bin/kaiser --help > /dev/null

sbom: install ## what the images install, as CycloneDX, into kaiser.cdx.json
	@$(BIN)/cyclonedx-py requirements --no-validate --output-reproducible --output-file kaiser.cdx.json deploy/docker/runtime.lock

publish: ## build every image and push it with SBOM and provenance: make publish REGISTRY=registry.example.org/kaiser VERSION=0.1.0
	@deploy/docker/publish "$(REGISTRY)" "$(VERSION)"

grants: install ## write the rights on the bus and at the MQTT broker into deploy/, and the Helm chart, which has them too
	@$(BIN)/python -m kaiser_deploy.write_grants deploy
	@$(BIN)/python deploy/kubernetes/write_chart.py

device-docs: install ## write docs/devices.md anew from the code
	@$(BIN)/python -m kaiser_deploy.device_docs docs/devices.md

error-docs: install ## write docs/errors.md anew from the code
	@$(BIN)/python -m kaiser_deploy.error_docs docs/errors.md

runbook-page: install ## write the page of runbooks that the gateway serves, from docs/runbooks.md
	@$(BIN)/python -m kaiser_deploy.runbook_page docs/runbooks.md services/websocket-gateway/src/kaiser_gateway/console/runbooks.html

test-compose: install ## the whole-system test against the containers, on a Docker engine
	@KAISER_TEST_CONTAINERS=1 $(BIN)/python -m pytest tests/compose $(ARGS)

format: install ## bring the code into its form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: install ## write the locks anew: names, versions and hashes
	@$(COMPILE) --output-file requirements.lock requirements.in
	@$(COMPILE) --constraint requirements.lock --output-file deploy/docker/runtime.lock deploy/docker/runtime.in
	@echo hatchling | $(COMPILE) --constraint requirements.lock --output-file deploy/docker/build.lock -
	@echo twine | $(COMPILE) --constraint requirements.lock --output-file tools/cli/publish.lock -
	@echo cyclonedx-bom | $(COMPILE) --constraint requirements.lock --output-file deploy/docker/sbom.lock -

clean: ## remove .venv and caches; the data in .kaiser stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Kaiser needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1): set PYTHON, as in make PYTHON=python3.12 run" >&2; exit 2; }
	@echo "creating $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 2; }

$(VENV)/.lock-installed: requirements.lock | $(BIN)/python
	@echo "installing requirements.lock into $(VENV) (once, and after changes: some minutes without a word)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.packages-installed: $(VENV)/.lock-installed $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@
