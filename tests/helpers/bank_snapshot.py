"""What exams and checks say of every answer of the bank: before and after a change, over seeds, and as a page.

    python tests/helpers/bank_snapshot.py take before.json                        (p1 p3b: some exercises only)
    python tests/helpers/bank_snapshot.py compare before.json after.json          a change that should change nothing
    python tests/helpers/bank_snapshot.py take sweep.json --seeds 20              seeds 1 to 20
    python tests/helpers/bank_snapshot.py seeds sweep.json                        verdicts that depend on the seed
    python tests/helpers/bank_snapshot.py page snapshot.json docs/wrong_answers.md

A snapshot holds, for each answer and seed, the points and the reason of every property, the diagnosis, and the visible
check's sentence.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import bank_tools
import torch

from autograder.answers import Answer, all_answers
from autograder.exams import EXAMS, Verdict

Said = dict[str, Any]
UNTOLD = "no diagnosis"


def said_of(number: int, seeds: Sequence[int]) -> Said:
    """Everything that the exam and the check say of one answer."""
    torch.set_num_threads(1)
    answer = all_answers()[number]
    namespace = bank_tools.namespace_of(answer) if answer.exercise.startswith("p4") else None
    said: Said = {"kind": answer.kind}
    for seed in seeds:
        said[f"exam, seed {seed}"] = in_data(bank_tools.verdict_on(answer, seed=seed, namespace=namespace))
    failure = bank_tools.check_failure(answer, namespace=namespace)
    said["check"] = None if failure is None else [failure.misconception, str(failure)]
    return said


def in_data(verdict: Verdict) -> Said:
    """A verdict as JSON can hold it."""
    return {
        "points": verdict.points,
        "report": verdict.report(),
        "misconception": verdict.misconception,
        "properties": [[result.name, result.points, result.reason] for result in verdict.results],
    }


def take(file: Path, exercises: Sequence[str], seeds: int, jobs: int) -> None:
    """Writes a snapshot of the bank, or of the exercises whose ids begin like this."""
    chosen = [n for n, answer in enumerate(all_answers()) if answer.exercise.startswith(tuple(exercises) or ("p",))]
    said: Said = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        found = pool.map(said_of, chosen, [range(1, seeds + 1)] * len(chosen))
        for number, what in zip(chosen, found, strict=True):
            said[title(all_answers()[number])] = what
            print(f"{len(said)}/{len(chosen)} {title(all_answers()[number])}", file=sys.stderr)
    file.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")


def title(answer: Answer) -> str:
    """Exercise and name."""
    return f"{answer.exercise}: {answer.name}"


def compare(old: Said, new: Said) -> int:
    """Prints what differs; the number of answers of which something else is said."""
    changed = 0
    for answer in sorted(old.keys() & new.keys()):
        if old[answer] == new[answer]:
            continue
        changed += 1
        for part in sorted(old[answer].keys() | new[answer].keys()):
            was, is_now = (said[answer].get(part) for said in (old, new))
            if was != is_now:
                print(f"{answer}\n  {part}\n    before: {json.dumps(was, ensure_ascii=False)}")
                print(f"    after:  {json.dumps(is_now, ensure_ascii=False)}")
    for answer in sorted(old.keys() ^ new.keys()):
        print(f"{answer}: only {'before' if answer in old else 'after'}")
    print(f"{len(old)} answers before, {len(new)} after; {changed} are judged in another way")
    return changed


def exams_of(said: Said) -> list[Said]:
    """The verdicts, seed by seed."""
    return [verdict for part, verdict in said.items() if part.startswith("exam")]


def depends_on_seed(snapshot: Said) -> int:
    """Prints the answers that get other points, or another diagnosis, with other seeds; how many there are."""
    counts: Counter[str] = Counter()
    for answer, said in snapshot.items():
        verdicts = exams_of(said)
        for what in ("points", "misconception"):
            seen = Counter(verdict[what] for verdict in verdicts)
            if len(seen) > 1:
                counts[what] += 1
                print(f"{answer}: {what} {dict(seen)}")
                if what == "points":
                    lost = Counter(name for v in verdicts for name, points, reason in v["properties"] if reason)
                    print(f"    lost: { {name: times for name, times in lost.items() if times < len(verdicts)} }")
    seeds = {len(exams_of(said)) for said in snapshot.values()}
    print(f"{len(snapshot)} answers over {seeds} seeds; other points: {counts['points']}, "
          f"another diagnosis: {counts['misconception']}")  # fmt: skip
    return counts["points"]


def page(snapshot: Said) -> str:
    """The wrong answers of each exercise: what each keeps, and what is said of it."""
    lines = [
        "# What wrong answers keep, and what they are told",
        "",
        "Every wrong answer of the bank (`autograder/answers/cells`) as the exam judges it with seed 1: the points "
        "that it keeps, the first sentence that its author reads on the feedback page, and the name of the diagnosis. "
        "Written by `tests/helpers/bank_snapshot.py page`.",
    ]
    for exercise, exam in EXAMS.items():
        rows = {a.split(": ", 1)[1]: said for a, said in snapshot.items() if a.startswith(f"{exercise}:")}
        wrong = {name: exams_of(said)[0] for name, said in rows.items() if said["kind"] == "wrong"}
        lines += ["", f"## {exercise}, {exam.points:g} points", "", "| wrong answer | keeps | headline | diagnosis |"]
        lines += ["|---|---|---|---|"]
        for name, verdict in sorted(wrong.items(), key=lambda item: item[1]["points"]):
            cells = (name, f"{verdict['points']:g}", headline(verdict), verdict["misconception"] or UNTOLD)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def headline(verdict: Said) -> str:
    """The lines of the report between the score and the properties."""
    words = []
    for line in verdict["report"].splitlines()[1:]:
        if line.lstrip().startswith(("[held]", "[lost]", "[part]")):
            break
        words.append(line.strip())
    return " ".join(words)


def main() -> None:
    """Runs the command that was typed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("take")
    taking.add_argument("file", type=Path)
    taking.add_argument("exercises", nargs="*")
    taking.add_argument("--seeds", type=int, default=2)
    taking.add_argument("--jobs", type=int, default=2)
    for command, files in (("compare", 2), ("seeds", 1), ("page", 1)):
        commands.add_parser(command).add_argument("snapshots", type=Path, nargs=files)
    commands.choices["page"].add_argument("into", type=Path)
    options = parser.parse_args()
    if options.command == "take":
        take(options.file, options.exercises, options.seeds, options.jobs)
        return
    snapshots = [json.loads(file.read_text(encoding="utf-8")) for file in options.snapshots]
    if options.command == "compare":
        sys.exit(compare(*snapshots) > 0)
    if options.command == "seeds":
        sys.exit(depends_on_seed(*snapshots) > 0)
    options.into.write_text(page(*snapshots), encoding="utf-8")


if __name__ == "__main__":
    main()
