#!/bin/sh
# Installs the program as an application: an environment of its own, every package by hash, and its systemd units.
#
#   sudo sh scripts/install.sh                      /opt/cleanroom, user cleanroom, units (not enabled)
#   sh scripts/install.sh --prefix ~/cleanroom      for one user, without units
#   sh scripts/install.sh --dry-run                 say what would be done
#
# Each installation stands in a folder of its own, PREFIX.d/VERSION-TIME; PREFIX is a link that is switched at the end,
# so that a failed one changes nothing and the one before can be linked again. PYTHON names the Python to use.
set -eu
cd "$(dirname "$0")/.."
prefix=/opt/cleanroom units=/etc/systemd/system dry=""
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?install: --prefix needs a folder}; units=""; shift ;;
    --units) units=${2:?install: --units needs a folder}; shift ;;
    --dry-run) dry=yes ;;
    *) echo "install: unknown: $1" >&2; exit 2 ;;
  esac
  shift
done
case $prefix in /*) ;; *) prefix=$(pwd)/$prefix ;; esac

run() { # run COMMAND...: do it, or say it
  if [ -n "$dry" ]; then echo "+ $*"; else "$@"; fi
}

python=${PYTHON:-}
for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
  [ -n "$python" ] && break
  "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && python=$candidate
done
[ -n "$python" ] || { echo "install: Python 3.11 or newer with venv is needed (python3-venv)" >&2; exit 1; }
if [ -e "$prefix" ] && [ ! -L "$prefix" ]; then
  echo "install: $prefix is there and is no installation of ours" >&2; exit 1
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
new=$prefix.d/$version-$(date -u +%Y%m%dT%H%M%SZ)
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
umask 022
run mkdir -p "$new/share"
run "$python" -m venv "$new"
pip="$new/bin/python -m pip --quiet --disable-pip-version-check --no-input install --no-deps"
# shellcheck disable=SC2086 # words are meant
run $pip --require-hashes -r requirements.lock
# from a copy: building leaves files beside what is built
run cp -R cli.py cleanroom connectors protocols pyproject.toml README.md LICENSE "$built"
# shellcheck disable=SC2086
run $pip --no-build-isolation "$built"
run cp docs/operations.md docs/operations.zh-CN.md "$new/share"
run "$new/bin/cleanroom" version
run ln -sfn "$new" "$prefix.next"
run mv -T "$prefix.next" "$prefix"

if [ -n "$units" ]; then
  run cp deploy/cleanroom-node@.service deploy/cleanroom-backup@.service deploy/cleanroom-backup@.timer "$units"
  run cp deploy/cleanroom.sysusers /usr/lib/sysusers.d/cleanroom.conf
  run cp deploy/cleanroom.tmpfiles /usr/lib/tmpfiles.d/cleanroom.conf
  run systemd-sysusers cleanroom.conf
  run systemd-tmpfiles --create cleanroom.conf
  run systemctl daemon-reload
fi
[ -n "$dry" ] || echo "installed: $prefix -> $new" >&2
