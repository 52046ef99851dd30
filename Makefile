# Set-up and checks. `make demo` and `make test` are all a fresh machine needs: each makes .venv first.
# Override the interpreter with `make test PYTHON=python3.12`.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
export LEANSPLAT_LPIPS_WEIGHTS ?= $(CURDIR)/.venv/share/leansplat/lpips

.PHONY: demo test test-long lint lpips node chromium clean

demo: $(INSTALLED)
	$(BIN)/leansplat demo --output demo --overwrite

test: lint lpips node
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-long: test
	$(BIN)/python -m pytest -m long

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# LPIPS weights. Without them evaluation reports null and the tests that need them are skipped.
lpips: $(INSTALLED)
	@$(BIN)/leansplat download lpips \
		|| echo "LPIPS weights could not be downloaded: LPIPS will be null; 'make lpips' tries again."

# A second opinion on our files and renders, on Debian a Vulkan driver for the CPU to render it with and a browser for
# the tests of the viewer's page, and what that page is built of. Without them the tests that need them are skipped.
node: node_modules/.installed viewer/node_modules/.installed build/swiftshader/vk_swiftshader_icd.json chromium

viewer/node_modules/.installed: viewer/package-lock.json
	@if command -v npm >/dev/null; then \
		(cd viewer && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) && touch $@ \
		|| echo "npm could not fetch what the viewer is built of: the test that builds it afresh is skipped."; \
	fi

chromium:
	@if ! command -v chromium >/dev/null && [ -z "$$LEANSPLAT_CHROMIUM" ]; then \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && scripts/install-chromium; } \
		|| echo "Chromium is not here and could not be installed (root can, on Debian): tests that drive a browser are skipped."; \
	fi

node_modules/.installed: package.json
	@if command -v npm >/dev/null; then \
		npm install --no-audit --no-fund --no-package-lock --loglevel=error && touch $@ \
		|| echo "npm could not install splat-transform: tests that compare with it are skipped."; \
	else \
		echo "npm is not here: tests that compare with splat-transform are skipped."; \
	fi

build/swiftshader/vk_swiftshader_icd.json:
	@if command -v npm >/dev/null && command -v apt-get >/dev/null; then \
		scripts/unpack-swiftshader $(@D) \
		|| echo "SwiftShader could not be fetched: tests that render with splat-transform are skipped."; \
	fi

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv node_modules viewer/node_modules build demo
