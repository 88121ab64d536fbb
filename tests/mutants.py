"""Mutation tests of the rooms that read data, score and write: the share of random mutants that the fast tests kill.

Run: `make mutants`, or `python tests/mutants.py --count 300`. Needs cosmic-ray (`pip install cosmic-ray`). It works on
copies of the project, with one process for each room, and prints the survivors as diffs and the share that was killed.
The tests must pass without a mutant, or every mutant would seem to be killed: this is checked first.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The tests that run for a mutant of each room, those that find most first; pytest stops at the first failure.
TESTS = {
    "data": "tests/data tests/cli/test_kinds_of_data.py tests/commands/evaluate/test_classes.py",
    "scoring": "tests/scoring tests/properties tests/outputs tests/commands/build_classifier",
    "outputs": "tests/outputs tests/properties tests/cli/test_resume.py",
}
TIMEOUT = 120


def prepared(folder: Path, room: str) -> Path:
    """Copy the project, check that the room's tests pass, and list all mutants of the room's modules."""
    copy = folder / room
    ignored = shutil.ignore_patterns(".git", ".venv", "models", "golden", "__pycache__", "dist", "runs")
    shutil.copytree(ROOT, copy, ignore=ignored)
    shutil.copytree(ROOT / "clipcli" / "models", copy / "clipcli" / "models")
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -p no:randomly -m 'not slow and not shared'"
    config = copy / "mutants.toml"
    config.write_text(
        "[cosmic-ray]\n"
        f'module-path = "clipcli/{room}"\n'
        f"timeout = {TIMEOUT}\nexcluded-modules = []\n"
        f'test-command = "{command} {TESTS[room]}"\n'
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    cosmic_ray(copy, "baseline", "mutants.toml")
    cosmic_ray(copy, "init", "mutants.toml", "session.sqlite")
    return copy


def cosmic_ray(copy: Path, *arguments: str) -> str:
    """Run cosmic-ray in a copy and return its output. A failure ends the program with the end of stderr and stdout."""
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("cosmic-ray")), *arguments]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cosmic-ray {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def keep_only(copy: Path, jobs: set[str]) -> None:
    """Drop all mutants of a session but those in `jobs`."""
    with sqlite3.connect(copy / "session.sqlite") as session:
        for table in ("work_results", "mutation_specs", "work_items"):
            marks = ",".join("?" * len(jobs))
            session.execute(f"DELETE FROM {table} WHERE job_id NOT IN ({marks})", list(jobs))


def jobs_of(copy: Path) -> list[str]:
    """The ids of the mutants of a session, in a fixed order, without those of operators in types and signatures.

    `str | None` and the `*` before keyword-only arguments look like operators to cosmic-ray, and no test can tell.
    """
    query = (
        "SELECT job_id, operator_name, module_path, start_pos_row, start_pos_col FROM mutation_specs"
        " ORDER BY module_path, operator_name, occurrence"
    )
    with sqlite3.connect(copy / "session.sqlite") as session:
        found = list(session.execute(query))
    typed = {module: typed_parts(copy / module) for module in {module for _, _, module, _, _ in found}}
    return [
        job
        for job, operator, module, row, column in found
        if "BinaryOperator" not in operator or not any(start <= (row, column) < end for start, end in typed[module])
    ]


def typed_parts(module: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The start and end, as row and column, of each signature and each annotation of a variable in a module."""
    parts = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            parts.append(((node.lineno, node.col_offset), (node.body[0].lineno, node.body[0].col_offset)))
        elif isinstance(node, ast.AnnAssign):
            kind = node.annotation
            parts.append(((kind.lineno, kind.col_offset), (kind.end_lineno or 0, kind.end_col_offset or 0)))
    return parts


def results_of(copy: Path) -> list[tuple[str, str, str]]:
    """The outcome, location and diff of each mutant."""
    query = (
        "SELECT test_outcome, module_path || ':' || start_pos_row, diff FROM work_results"
        " JOIN mutation_specs USING (job_id)"
    )
    with sqlite3.connect(copy / "session.sqlite") as session:
        return list(session.execute(query))


def main() -> None:
    """Draw mutants, run the tests on each, and print the survivors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--room", choices=TESTS, action="append", help="try only mutants of this room")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        copies = {room: prepared(Path(name), room) for room in arguments.room or TESTS}
        every = [(room, job) for room, copy in copies.items() for job in jobs_of(copy)]
        drawn = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
        for room, copy in copies.items():
            keep_only(copy, {job for of_room, job in drawn if of_room == room})
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(lambda copy: cosmic_ray(copy, "exec", "mutants.toml", "session.sqlite"), copies.values()))
        results = {room: results_of(copy) for room, copy in copies.items()}
    for room, found in results.items():
        for outcome, place, diff in found:
            if "SURVIVED" in outcome.upper():
                print(f"survived in {room}: {place}\n{diff}\n")
    for room, found in results.items():
        killed = sum("KILLED" in outcome.upper() for outcome, *_ in found)
        print(f"{room}: {killed} of {len(found)} killed")
    whole = [outcome for found in results.values() for outcome, *_ in found]
    killed = sum("KILLED" in outcome.upper() for outcome in whole)
    print(f"in all, of {len(every):,} mutants: {killed} of {len(whole)} killed, {killed / max(1, len(whole)):.1%}")


if __name__ == "__main__":
    main()
