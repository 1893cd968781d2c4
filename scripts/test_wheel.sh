#!/usr/bin/env bash
# scripts/test_wheel.sh PYTHON WHEEL: install the wheel as a user does, outside the checkout, and run the fast tests and the
# commands' journey against it. They run in a copy of the repository without the packages, whose sources no import can find.
set -euo pipefail
python="$1"
wheel="$(cd "$(dirname "$2")" && pwd)/$(basename "$2")"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/requirements-dev.lock")
"${pip[@]}" --upgrade pip
"${pip[@]}" --group "$root/pyproject.toml:test" --requirement "$root/examples/tsp/requirements.txt" "$wheel[aws]"

mkdir "$folder/repository"
git -C "$root" ls-files -z --cached --others --exclude-standard -- \
  . ':!runtime/multinode*' ':!lambda_src/multinode*' ':!multinode_cli' ':!templates' ':!setup.py' |
  tar -C "$root" --null -T - -cf - | tar -C "$folder/repository" -xf -
cd "$folder/repository"
export PATH="$folder/venv/bin:$PATH"
python --version
multinode --version
pytest -q -n auto --dist loadfile -m "not slow and not network" --hypothesis-profile brief tests
pytest -q tests/cli/test_against_local_server.py
