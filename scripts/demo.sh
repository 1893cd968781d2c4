#!/usr/bin/env bash
# `make demo`: deploys and runs an example on its own local control plane, and stops that however it ends. Everything that
# it creates is stored under .demo; it copes with whatever an earlier run left there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

demo="${MULTINODE_DEMO_DIR:-.demo}"
mkdir -p "$demo"
own="$(cd "$demo" && pwd)"
export MULTINODE_CONFIG_DIR="$own/config" MULTINODE_DATA_DIR="$own/data"
unset MULTINODE_API_URL MULTINODE_API_KEY  # they would take precedence over the demo's own profile

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
show() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { show "$@" && "$@"; }

finish() {
  code=$?
  trap - EXIT
  trap '' INT TERM  # stopping takes a moment, and must not be interrupted
  run multinode local stop --cancel || code=3
  exit "$code"
}
trap 'exit 130' INT
trap 'exit 143' TERM

multinode local stop --cancel >/dev/null 2>&1 || true  # left by a run that was killed
rm -rf "$own/config"  # the profile of an earlier run names its port
trap finish EXIT

run multinode local start --port 0 --detach
run multinode deploy examples/tsp --project-name tsp
show "multinode invoke tsp solve --follow > $demo/result.json"
multinode invoke tsp solve --follow > "$demo/result.json"
run python examples/tsp/draw.py "$demo/result.json" "$demo/berlin52.svg" --within 5
