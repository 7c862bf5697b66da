#!/bin/sh
# Makes a virtual environment with a Python that Segwatch runs on:   make-venv.sh DIR
# PYTHON names the interpreter; without it the newest of python3.11 to python3.13 is taken.
set -eu
dir=${1:?usage: make-venv.sh DIR}

fit='import sys; sys.exit(not sys.version_info >= (3, 11))'
if [ -z "${PYTHON:-}" ]; then
    for candidate in python3.13 python3.12 python3.11 python3.14 python3; do # not every codec has wheels for 3.14
        if "$candidate" -c "$fit" >/dev/null 2>&1; then PYTHON=$candidate; break; fi
    done
fi
if [ -z "${PYTHON:-}" ] || ! "$PYTHON" -c "$fit"; then
    echo "Segwatch needs Python 3.11 or newer${PYTHON:+; $PYTHON is older or does not run}. Install it, or name it: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi

# Debian and Ubuntu ship Python without the parts that make environments
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $package" >/dev/null
    else
        echo "$PYTHON cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install $package" >&2
        exit 1
    fi
fi
"$PYTHON" -m venv "$dir"
