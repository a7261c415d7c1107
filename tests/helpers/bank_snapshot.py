"""Compares what exams and checks say of every answer of the bank, before and after a change that should change nothing.

    python tests/helpers/bank_snapshot.py take before.json
    python tests/helpers/bank_snapshot.py take after.json       (or take after.json p1 p3b: some exercises only)
    python tests/helpers/bank_snapshot.py compare before.json after.json

A snapshot holds, for each answer and seed, the points and the reason of every property, the diagnosis, and the visible
check's sentence.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import bank_tools

from autograder.answers import Answer, all_answers

SEEDS = (1, 20)


def said_of(answer: Answer) -> dict[str, Any]:
    """Everything that the exam and the check say of one answer."""
    namespace = bank_tools.namespace_of(answer) if answer.exercise.startswith("p4") else None
    said: dict[str, Any] = {}
    for seed in SEEDS:
        verdict = bank_tools.verdict_on(answer, seed=seed, namespace=namespace)
        said[f"exam, seed {seed}"] = {
            "points": verdict.points,
            "report": verdict.report(),
            "misconception": verdict.misconception,
            "properties": [[result.name, result.points, result.reason] for result in verdict.results],
        }
    failure = bank_tools.check_failure(answer, namespace=namespace)
    said["check"] = None if failure is None else [failure.misconception, str(failure)]
    return said


def take(file: Path, *exercises: str) -> None:
    """Writes a snapshot of the bank, or of the exercises whose ids begin like this."""
    answers = [answer for answer in all_answers() if answer.exercise.startswith(exercises or ("p",))]
    said = {}
    for number, answer in enumerate(answers, start=1):
        print(f"{number}/{len(answers)} {answer.exercise}: {answer.name}", file=sys.stderr)
        said[f"{answer.exercise}: {answer.name}"] = said_of(answer)
    file.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")


def compare(before: Path, after: Path) -> int:
    """Prints what differs; the number of answers of which something else is said."""
    old, new = (json.loads(file.read_text(encoding="utf-8")) for file in (before, after))
    changed = 0
    for answer in sorted(old.keys() & new.keys()):
        if old.get(answer) == new.get(answer):
            continue
        changed += 1
        for part in sorted(set(old.get(answer) or {}) | set(new.get(answer) or {})):
            was, is_now = (said.get(answer, {}).get(part) for said in (old, new))
            if was != is_now:
                print(f"{answer}\n  {part}\n    before: {json.dumps(was, ensure_ascii=False)}")
                print(f"    after:  {json.dumps(is_now, ensure_ascii=False)}")
    for answer in sorted(old.keys() ^ new.keys()):
        print(f"{answer}: only {'before' if answer in old else 'after'}")
    print(f"{len(old)} answers before, {len(new)} after; {changed} are judged in another way")
    return changed


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["take", file, *exercises]:
            take(Path(file), *exercises)
        case ["compare", before, after]:
            sys.exit(compare(Path(before), Path(after)) > 0)
        case _:
            sys.exit(__doc__)
