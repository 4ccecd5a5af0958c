#!/bin/sh
# Runs pytest with these words. What failed is tried once more, alone: what fails twice is broken; what fails only beside
# others, on a machine that has no time, is named and to be mended, but holds nobody up.
set -eu
export PYTHONDONTWRITEBYTECODE= # what tests start loads sooner the second time
run() { .venv/bin/python -m pytest "$@"; }
run "$@" && exit 0 || code=$?
[ $code = 1 ] || exit $code # not tests that failed, but a run that broke
echo "tests: what failed, once more and alone" >&2
run "$@" -n 1 -vv --last-failed --last-failed-no-failures none
echo "tests: shaky, since they failed beside others and passed alone: see above" >&2
