#!/bin/sh
# Makes .venv with everything the project and its tests need; run by `make`, which skips it while the lock is unchanged.
# What Debian splits off (venv; a PostgreSQL server and a browser for the tests) is installed when we may, else named.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-}
for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
  [ -n "$python" ] && break
  "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate
done
[ -n "$python" ] || { echo "setup: Python 3.11 or newer is needed (apt-get install python3)" >&2; exit 1; }

debian() { # debian PACKAGE...: install, or say how
  if [ "$(id -u)" = 0 ]; then root=""; else root="sudo -n"; fi
  if command -v apt-get >/dev/null && { [ -z "$root" ] || $root true 2>/dev/null; }; then
    echo "setup: installing Debian packages: $*" >&2
    $root apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends "$@" >/dev/null && return 0
  fi
  echo "setup: please install: $*" >&2
  return 1
}

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
  debian "$(basename "$(readlink -f "$(command -v "$python")")")-venv" ca-certificates
fi
if [ "${1:-}" = test ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
  debian postgresql
fi
if [ "${1:-}" = test ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
  debian chromium
fi
if [ "${1:-}" = test ] && ! command -v java >/dev/null; then
  debian openjdk-17-jre-headless # Spark, the engine of clusters
fi

[ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; "$python" -m venv .venv; }
lock=requirements.lock stamp=.venv/installed
[ "${1:-}" = test ] && lock=requirements-test.lock stamp=.venv/installed-test
fresh() { [ -f "$1" ] && [ ! requirements.lock -nt "$1" ] && [ ! requirements-test.lock -nt "$1" ] && [ ! pyproject.toml -nt "$1" ]; }
if ! fresh $stamp && ! fresh .venv/installed-test; then
  echo "setup: installing the locked packages into .venv" >&2
  install=".venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps"
  $install --require-hashes -r $lock
  $install --no-build-isolation --editable .
  touch $stamp
fi
