#!/usr/bin/env bash
# What `make demo` does, on a local control plane of its own: everything it makes lies under .demo. It starts from whatever
# an earlier run left there, and stops what it started however it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

demo="${MULTINODE_DEMO_DIR:-.demo}"
mkdir -p "$demo"
own="$(cd "$demo" && pwd)"
export MULTINODE_CONFIG_DIR="$own/config" MULTINODE_DATA_DIR="$own/data"
unset MULTINODE_API_URL MULTINODE_API_KEY  # they would come before the demo's own profile

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
show() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { show "$@" && "$@"; }

finish() {
  code=$?
  trap - EXIT
  trap '' INT TERM  # stopping takes a moment, and is not to be stopped itself
  run multinode local stop --cancel || code=3
  exit "$code"
}
trap 'exit 130' INT
trap 'exit 143' TERM

multinode local stop --cancel >/dev/null 2>&1 || true  # of a run that was killed
rm -rf "$own/config"  # the profile of an earlier run names its port
trap finish EXIT

run multinode local start --port 0 --detach
run multinode deploy examples/tsp --project-name tsp
show "multinode invoke tsp solve --follow > $demo/result.json"
multinode invoke tsp solve --follow > "$demo/result.json"
run python examples/tsp/draw.py "$demo/result.json" "$demo/berlin52.svg" --within 5
