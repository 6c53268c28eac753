# Every target is one command of tools/; variables are passed on by the environment.
PYTHON ?= python3
RUN = @command -v $(PYTHON) >/dev/null 2>&1 || \
	{ echo "error: missing: Python 3.10 to 3.13 (set PYTHON=)" >&2; exit 1; }; \
	$(PYTHON) -m tools
export PORT DB BIND ONLY ODOO ODOO_SOURCE MODULE TAGS QUICK WRITE

.PHONY: run stop clean venv test matrix soak addons lint audit pot bench

run: ## a working Odoo at http://localhost:8069, three mails in it
	$(RUN) run
stop: ## end what `make run` started
	$(RUN) stop
clean: ## stop, and delete everything the commands made
	$(RUN) clean
venv: ## only the virtual environment, with the test tools
	$(RUN) venv
test: ## the whole suite; ONLY=adapters|addons|server|<expression> for a part
	$(RUN) test
matrix: ## the whole suite on 18.0 and on 19.0
	$(RUN) matrix
soak: ## what takes too long for `make test`
	$(RUN) soak
addons: ## Odoo tests of MODULE= (or TAGS=) on the kept database DB=
	$(RUN) addons
lint: ## ruff, pylint-odoo, XML, manifests, import directions, 18/19 names
	$(RUN) lint
audit: ## pip-audit over the pins, bandit over the addons
	$(RUN) audit
pot: ## i18n/<addon>.pot of every addon
	$(RUN) pot
bench: ## the measurements of docs/benchmarks.md; ONLY=1,2 QUICK=1 WRITE=1
	$(RUN) bench
