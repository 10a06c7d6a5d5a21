# What a developer does here. Needs Python 3.11 or newer; everything else goes to .venv,
# in the versions and with the hashes of requirements.lock.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
INSTALLED := $(VENV)/.installed

# Arguments to pass on: make demo DEMO='--ports 8054,8124', make test TESTS=tests/dns, make bench BENCH=--help,
# make fuzz FUZZ='--seconds 600 answers replies'
DEMO ?=
TESTS ?=
BENCH ?=
FUZZ ?=

# Images of containers set it. Here it would compile each test in each process again, and parts of the program whenever one starts.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test lint coverage bench fuzz build pyz deb manual docs changelog clean venv lock

help:  ## show this list
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' Makefile

demo: $(INSTALLED)  ## a simulated cluster, Mesos-DNS on 127.0.0.1:8053 and :8123, and what to try
	$(PY) -m mesos_dns.demo $(DEMO)

# Four at a time, each file in one process, in the order of tests/longest.py: half of the time tests wait for the programs that
# they started.
test: lint  ## lint, types and all tests
	$(PY) -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(INSTALLED)  ## rules, format and types
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

# Integration tests run the program as processes of their own, where nothing is counted: they are left out.
coverage: $(INSTALLED)  ## the unit tests, and how much of the program they run
	HYPOTHESIS_PROFILE=coverage $(PY) -m pytest --quiet -n 3 --dist loadfile --ignore tests/integration --cov --cov-report=term $(TESTS)

bench: $(INSTALLED)  ## measure speed and memory; writes tables and JSON
	$(PY) -m bench $(BENCH)

# Its one dependency is no part of the lock, see pyproject.toml.
fuzz: $(VENV)/.fuzz  ## damaged inputs for all that reads from outside, guided by coverage; see fuzz/README.md
	$(PY) -m fuzz $(FUZZ)

$(VENV)/.fuzz: $(INSTALLED) fuzz/requirements.txt
	$(PIP) install --require-hashes --no-deps -r fuzz/requirements.txt
	@touch $@

build: $(INSTALLED)  ## source distribution, wheel, and the versions to install with it, in dist/
	rm -f dist/*.whl dist/*.tar.gz dist/constraints.txt
	$(PY) -m hatchling build
	sed -n 's/^\([^ ]*==[^ ]*\).*/\1/p' requirements.lock > dist/constraints.txt

# shiv, and the libraries for each version of Python, are fetched into build/pyz.
pyz: $(INSTALLED)  ## the program and its libraries in one file, dist/mesos-dns.pyz, for every Python that it supports
	$(PY) -m tools.pyz

# Takes dist/mesos-dns.pyz, or builds it, if it is of other sources.
deb: $(INSTALLED)  ## a package for Debian 12 and later, dist/mesos-dns_VERSION_ARCHITECTURE.deb (needs debhelper, dpkg-dev)
	$(PY) -m tools.deb

# Two libraries, in an environment of their own, that know what such files look like.
manual: $(INSTALLED)  ## after a change of the command line: the manual page and the completions in packaging/
	$(PIP) install --upgrade --target build/manual argparse-manpage==4.8 shtab==1.13.0
	$(PY) -m tools.manual

# In an environment of its own: what makes a site shares libraries with what requirements.lock has, in other versions.
docs: build/sphinx/.installed  ## the pages of docs/ as a site, build/docs/index.html; fails if a link leads nowhere
	rm -rf build/docs
	build/sphinx/bin/python -m sphinx -W --keep-going --quiet -c docs -d build/sphinx/doctrees . build/docs
	build/sphinx/bin/python -m tools.website build/docs

build/sphinx/.installed: docs/requirements.txt
	$(PYTHON) -m venv --clear build/sphinx
	build/sphinx/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r docs/requirements.txt
	@touch $@

changelog: $(INSTALLED)  ## for a release: what changes/ tells becomes a section of CHANGELOG.md
	$(PY) -m towncrier build --yes

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find src tests bench fuzz -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(INSTALLED)  ## the environment in .venv

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

COMPILE := build/locking/bin/pip-compile --quiet --upgrade --allow-unsafe --strip-extras --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# For maintainers, after a change of the dependencies in pyproject.toml. pip-tools is no part of the
# lock: it is fetched into an environment of its own.
lock:  ## choose the versions in requirements.lock and docs/requirements.txt anew
	$(PYTHON) -m venv --clear build/locking
	build/locking/bin/python -m pip install --quiet pip-tools
	$(COMPILE) --extra dev --extra iam --all-build-deps --output-file requirements.lock pyproject.toml
	$(COMPILE) --output-file docs/requirements.txt docs/requirements.in
	rm -rf build/locking
