# Developers' targets. Nobody needs make to use gatectl: ./scripts/demo and ./scripts/test do without it.
.DEFAULT_GOAL := help
.PHONY: help check test demo lock assets protocol

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: ## Style, types, import rules, generated files, unit, contract and docs tests (under 90 s)
	@./scripts/test --quick

test: ## Everything, as CI runs it
	@./scripts/test

demo: ## The town of gates, with the console at http://127.0.0.1:8080
	@./scripts/demo

protocol: ## Generate the bridge's ids from firmware_bridge/protocol.toml
	@./scripts/setup.sh run && .venv/bin/python -P scripts/gen_protocol.py

assets: ## Fetch the console's own copies of its libraries anew
	@./scripts/setup.sh run && ./scripts/vendor_assets

lock: ## Refresh requirements/*.txt from setup.cfg
	@./scripts/refresh_lock
