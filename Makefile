# Every target is one command of tools/; variables are passed on by the environment.
PYTHON ?= python3
export PORT DB BIND ONLY ODOO ODOO_SOURCE MODULE TAGS QUICK WRITE

.PHONY: run stop clean venv test matrix soak addons lint audit pot bench

run: ## a working Odoo at http://localhost:8069, three mails in it
	@$(PYTHON) -m tools run
stop: ## end what `make run` started
	@$(PYTHON) -m tools stop
clean: ## stop, and delete everything the commands made
	@$(PYTHON) -m tools clean
venv: ## only the virtual environment, with the test tools
	@$(PYTHON) -m tools venv
test: ## the whole suite; ONLY=adapters|addons|server|<expression> for a part
	@$(PYTHON) -m tools test
matrix: ## the whole suite on 18.0 and on 19.0
	@$(PYTHON) -m tools matrix
soak: ## what takes too long for `make test`
	@$(PYTHON) -m tools soak
addons: ## Odoo tests of MODULE= (or TAGS=) on the kept database DB=
	@$(PYTHON) -m tools addons
lint: ## ruff, pylint-odoo, XML, manifests, import directions, 18/19 names
	@$(PYTHON) -m tools lint
audit: ## pip-audit over the pins, bandit over the addons
	@$(PYTHON) -m tools audit
pot: ## i18n/<addon>.pot of every addon
	@$(PYTHON) -m tools pot
bench: ## the measurements of docs/benchmarks.md; ONLY=1,2 QUICK=1 WRITE=1
	@$(PYTHON) -m tools bench
