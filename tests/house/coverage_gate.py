"""Fail unless the last run of the tests took enough branches of each folder. Reads the data that `make test` left.

    python -m tests.house.coverage_gate --at-least 95 lambda_src/multinode_control_plane/core …

"Branch coverage" is meant literally: taken branches of all branches, so that many plain lines cannot make up for
untested decisions.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import coverage
from coverage.exceptions import CoverageException


def branches(folder: str) -> Mapping[str, tuple[int, int]]:
    """Return for each file of `folder` how many branches were taken, and how many there are."""
    data = coverage.Coverage()
    data.load()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        data.json_report(outfile=str(report), include=[f"{folder}/*"])
        files = json.loads(report.read_text())["files"]
    summaries = {name: file["summary"] for name, file in files.items()}
    return {name: (s["covered_branches"], s["num_branches"]) for name, s in summaries.items()}


def main() -> int:
    """Return 0 when every folder reaches the threshold, 1 when not, 2 without data; say which files are below it."""
    parser = argparse.ArgumentParser(description="Fail unless each folder's branch coverage is high enough.")
    parser.add_argument("--at-least", type=float, required=True, metavar="PERCENT")
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args()
    enough = True
    for folder in options.folders:
        try:
            counts = branches(folder)
        except CoverageException as error:
            print(f"{folder}: {error} Run `make test` first.", file=sys.stderr)
            return 2
        taken, there_are = sum(n for n, _ in counts.values()), sum(n for _, n in counts.values())
        percent = 100 * taken / there_are if there_are else 100.0
        enough = enough and percent >= options.at_least
        print(f"{percent:6.2f}% of {there_are} branches in {folder} (at least {options.at_least:g}%)")
        for name, (n, of) in sorted(counts.items()):
            if of and 100 * n / of < options.at_least:
                print(f"        {n} of {of} in {name}")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
