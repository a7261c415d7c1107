"""The machine proves that it grades rightly before it grades anybody.

The reference answers go the way of a submission: same sandbox, user, device, settings and files. They must earn every
point. Grader and sandbox must also see the same files, of the course and of everything that can be imported late. A
machine that has proved this once is believed until something changes on which the proof hangs.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from traitlets.config import Config

from autograder.course.cells import exercise_of
from autograder.engine.grader.process import End
from autograder.engine.grader.run import (
    MAX_DIFFERENCES,
    GradingJob,
    RunOptions,
    disagreement,
    grade_notebook,
    try_sandbox,
)
from autograder.engine.grader.session import Session, open_session
from autograder.engine.grader.staging import Taken
from autograder.engine.grader.store import Bundle, Key, Store
from autograder.engine.grader.submissions import Template, arrive, load_template
from autograder.engine.wire.inventory import Inventory, modules, packages_in
from pset4.files.assets import cache_folder

WALK_SECONDS = 600.0
SEED = 230_101
Say = Callable[[str], None]


class MachineFault(Exception):
    """This machine would not grade rightly; the message says what failed."""

    def __init__(self, faults: list[str]) -> None:
        shown = "\n".join(f"  - {fault}" for fault in faults[:MAX_DIFFERENCES])
        more = f"\n  and {len(faults) - MAX_DIFFERENCES} more" if len(faults) > MAX_DIFFERENCES else ""
        super().__init__(
            "Grading refuses, because this machine would not grade rightly. Nothing was stored.\n"
            f"{shown}{more}\nWhen this is mended, run the same command again; "
            "`autograder check` says what is left."
        )


def prove(source: Path, config: Config, options: RunOptions, *, say: Say = lambda _words: None) -> None:
    """Makes sure that right answers earn their points here.

    Args:
        source: Folder of the source notebooks, which hold the reference answers.
        config: The course's nbgrader configuration.
        options: How submissions will be run.
        say: Told what is being done.

    Raises:
        SandboxUnavailable: If there is no sandbox on this machine.
        MachineFault: If grader and sandbox disagree, or a reference answer loses a point.
    """
    if options.sandbox:
        try_sandbox()
    with open_session(
        limits=options.limits, device=options.device, sandbox=options.sandbox, hidden=options.hidden
    ) as session:
        faults = [fault for fault in (disagreement(session), hidden(session)) if fault]
    if faults:
        raise MachineFault(faults)
    known = _place_of(_fingerprint(source, options))
    if known.exists():
        return
    say("the machine proves itself on the reference answers, once for every change of it (about a minute) ...")
    faults = _faults_of_reference(source, config, options, say)
    if faults:
        raise MachineFault(faults)
    _remember(known)


def hidden(session: Session) -> str:
    """What can be imported here and not in the sandbox, or "" where both see the same."""
    differing = _differing(modules(), _ask(session, what="modules"))
    if not differing:
        return ""
    return f"grader and sandbox do not see the same modules: {_first_difference(session, Path(differing[0]))}"


def _differing(ours: Inventory, theirs: Inventory) -> list[str]:
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _first_difference(session: Session, path: Path) -> str:
    """Goes down to the first file that differs."""
    while path.is_dir():
        differing = _differing(packages_in(path), _ask(session, what="folder", folder=str(path)))
        if not differing or Path(differing[0]) == path:
            break
        path = Path(differing[0])
    return f"{path} is not the same there"


def _ask(session: Session, **request: str) -> Inventory:
    answer = session.ask({"kind": "inventory", **request}, WALK_SECONDS)
    if isinstance(answer, End):
        raise MachineFault([f"the sandboxed process gave no answer: {answer.detail}"])
    found: Inventory = json.loads(str(answer.get("inventory", "{}")))
    return found


def _faults_of_reference(source: Path, config: Config, options: RunOptions, say: Say) -> list[str]:
    """What the reference answers lose, notebook by notebook."""
    faults: list[str] = []
    with TemporaryDirectory(prefix="pset4-proof-") as folder:
        for path in sorted(source.glob("*.ipynb")):
            job = reference_job(path, load_template(path, config))
            bundle = grade_notebook(job, store=Store(Path(folder)), options=options, progress=_progress(say, path))
            faults += shortfalls(job, bundle)
    return faults


def _progress(say: Say, path: Path) -> Say:
    return lambda words: say(f"proving the machine, {path.stem}: {words}")


def reference_job(path: Path, template: Template) -> GradingJob:
    """A source notebook, handed in as if by a student: its solutions are the answers."""
    rebuilt = arrive(Taken("handed in", path.read_bytes()), template)
    return GradingJob(key=Key("reference", "proof", path.stem), notebook=rebuilt.notebook, seed=SEED)


def shortfalls(job: GradingJob, bundle: Bundle) -> list[str]:
    """What a reference submission did not earn, and what was seen: a sentence for each exercise."""
    found = []
    for cell in job.notebook["cells"]:
        exercise = exercise_of(cell)
        if exercise in bundle.ungraded:
            found.append(f"{exercise}: {bundle.ungraded[exercise]}")
        elif exercise and bundle.verdicts[exercise].points < bundle.verdicts[exercise].max_points:
            verdict = bundle.verdicts[exercise]
            lost = next(result for result in verdict.results if not result.held)
            said = verdict.diagnosis or lost.reason
            found.append(f"{exercise}: the reference answer earns {verdict.points:g} of {verdict.max_points:g}: {said}")
    if found:
        found += [f"{job.key.notebook}: {error}" for error in _errors(bundle)]
    return found


def _errors(bundle: Bundle) -> list[str]:
    """Errors in the cells of a reference submission, where none should be."""
    outputs = (output for _, outputs in sorted(bundle.outputs.items()) for output in outputs)
    return [f"{o['ename']}: {str(o['evalue'])[:300]}" for o in outputs if o["output_type"] == "error"]


def _fingerprint(source: Path, options: RunOptions) -> str:
    """Everything on which the proof hangs."""
    hangs_on: Mapping[str, Any] = {
        "conditions": options.conditions(),
        "sandbox": options.sandbox,
        "modules": modules(),
        "machine": [platform.node(), platform.platform(), _processor(), os.cpu_count()],
        "user": os.geteuid() if hasattr(os, "geteuid") else 0,
        "source": {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(source.glob("*.ipynb"))},
    }
    return sha256(json.dumps(hangs_on, sort_keys=True, default=str).encode()).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), "")


def _place_of(fingerprint: str) -> Path:
    return cache_folder() / "proofs" / fingerprint


def _remember(place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    except OSError:
        return  # a cache that cannot be written costs a proof at every run
