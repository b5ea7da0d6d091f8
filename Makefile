# make demo | test | lint | bench | campaign | dev | lock. Each sets up what it needs, from a bare Debian 12 with python3 and make.
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml README.md LICENSE $(shell find kspace dicom hardware transfer -type f ! -name '*.pyc')
PEER_PACKAGES := borgbackup curl openssh-client openssl restic rsync smbclient zstd
TEST_PACKAGES := prometheus samba samba-vfs-modules smbclient openssh-server openssh-client vsftpd e2fsprogs nut-client nut-server git dcmtk orthanc postgresql-15 nginx-light tinyproxy openssl zstd
TEST_PACKAGES += chromium chrony iproute2 iputils-arping nftables procps systemd unattended-upgrades

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# $(call debian,PACKAGES): install what is missing, as root or through sudo, or say what to install.
define debian
missing=$$(for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || printf '%s ' $$p; done); \
if [ -n "$$missing" ]; then \
	if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as=sudo; \
	else echo "Please install these Debian packages, then run make again: $$missing" >&2; exit 1; fi; \
	echo "install Debian packages: $$missing"; \
	$$as apt-get -qq update && \
	$$as env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
fi
endef

.PHONY: demo test lint bench campaign dev lock packages
.DELETE_ON_ERROR:

demo: $(VENV)/.wheel
	@$(BIN)/kspace demo

test: packages lint $(VENV)/.swift
	@echo "tests"
	@$(BIN)/pytest -q --cov --cov-report=term:skip-covered

lint: $(VENV)/.wheel
	@echo "ruff, mypy, import-linter"
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >$(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }

bench: $(VENV)/.wheel
	@$(call debian,$(PEER_PACKAGES))
	@for bench in tests/bench/*.py; do echo "$$bench"; $(BIN)/python -m tests.bench.$$(basename $$bench .py); done

campaign: $(VENV)/.wheel
	@$(call debian,$(PEER_PACKAGES))
	@$(BIN)/python -m tests.campaign
	@$(BIN)/python -m tests.campaign.peers

dev: $(VENV)/.locked
	@$(BIN)/pip install -qq --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.wheel
	@$(BIN)/pre-commit install >/dev/null
	@echo "editable install and commit hooks are ready in $(VENV); make test puts the wheel back"

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv; put it on the PATH, then run it again." >&2; exit 1; }
	@uv lock --quiet
	@uv export --quiet --frozen --no-emit-project --no-header --all-extras -o requirements.lock
	@echo swift | uv pip compile --quiet --no-header --generate-hashes --python-version 3.11 - -o tests/servers/swift.txt
	@echo "requirements.lock and tests/servers/swift.txt written"

packages:
	@$(call debian,$(TEST_PACKAGES))

# The lock names everything, so nothing is resolved: pip 23 takes the newest release of a package that is also
# wanted with an extra (coverage[toml]), whatever its pin says.
$(VENV)/.locked: requirements.lock
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { $(call debian,python3-venv); }
	@echo "install the locked dependencies into $(VENV)"
	@python3 -m venv $(VENV)
	@$(BIN)/pip install -qq --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip check
	@touch $@

# Two S3 servers to test against: a Swift of today, and one of 2022 that shares its libraries.
$(VENV)/.swift: tests/servers/swift.txt tests/servers/swift-old.txt $(VENV)/.locked
	@echo "install the S3 servers for tests into $(VENV)/swift"
	@python3 -m venv $(VENV)/swift
	@$(VENV)/swift/bin/pip install -qq --no-deps --require-hashes -r tests/servers/swift.txt
	@rm -rf $(VENV)/swift-old
	@$(VENV)/swift/bin/pip install -qq --no-deps --require-hashes --target $(VENV)/swift-old -r tests/servers/swift-old.txt
	@touch $@

# The wheel is what is tested and what the demo runs, never the source tree.
$(VENV)/.wheel: $(VENV)/.locked $(SOURCES)
	@echo "build and install the wheel"
	@$(BIN)/pip install -qq --no-deps --no-build-isolation .
	@touch $@
