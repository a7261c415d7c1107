"""The command `autograder`: what an instructor types in the terminal, in the order of the work."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from autograder.commands import places

REFUSED = 1
# Errors whose words are for the person who typed: a module that was never imported cannot have raised its own.
IN_WORDS = {
    "autograder.commands.places": ("WrongPlace",),
    "autograder.course.agreement": ("Disagreement",),
    "autograder.course.late": ("NoLatePolicy",),
    "autograder.collecting.sources": ("NoSource",),
    "autograder.engine.grader.store": ("CannotStore",),
    "autograder.engine.grader.sandbox": ("SandboxUnavailable",),
    "autograder.publishing.refused": ("Refused",),
    "pset4.settings": ("SettingsError",),
    "pset4.files.assets": ("AssetError",),
}


def _told(module: str, names: Iterable[str]) -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[module], name) for name in names) if module in sys.modules else ()


class InWords(TyperGroup):
    """Makes exit statuses of what commands return, and one sentence of each error that a person can mend."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was typed."""
        try:
            status = super().invoke(ctx)
        except Exception as error:
            if (words := _words(error)) is None:
                raise
            typer.echo(words, err=True)
            status = REFUSED
        raise typer.Exit(status or 0)


def _words(error: Exception) -> str | None:
    """What to tell the person; None for errors that are ours."""
    if isinstance(error, tuple(kind for module, names in IN_WORDS.items() for kind in _told(module, names))):
        return str(error)
    if isinstance(error, _told("sqlalchemy.exc", ["SQLAlchemyError"])):
        return (
            f"The database {places.DATABASE} cannot be read ({str(error).splitlines()[0]}); put back a copy of yours."
        )
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}. Mend this, and type the same command again."
    return None


app = typer.Typer(cls=InWords, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Course = Annotated[
    Path,
    typer.Option(
        "--course",
        default_factory=places.default_course,
        show_default="this folder if it is a course, otherwise autograder/",
        help="Folder of the class.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
Roster = Annotated[Path | None, typer.Option(help="Class list (CSV) with the students' ids.")]


class Platform(StrEnum):
    """Where points can go."""

    canvas = "canvas"
    moodle = "moodle"
    feedback = "feedback"
    gradescope = "gradescope"
    nbgrader = "nbgrader"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autograder {version('pset4')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")] = False,
) -> None: ...


@app.command(epilog='Example: autograder new ../spring --repository a-university/pset4 --due "2026-10-01T23:59-04:00"')
def new(
    folder: Annotated[Path, typer.Argument(help="Made if it is missing.")],
    name: Annotated[str, typer.Option(help="The course's name, on students' reports.")] = "",
    repository: Annotated[str, typer.Option(help="owner/name of the students' repository.")] = "",
    due: Annotated[str, typer.Option(help="The due date with its time zone.")] = "",
) -> int:
    """Make a folder for a class, and set name, address and due date in pset4.toml."""
    made: int = import_module("autograder.commands.new").new_course(folder, name=name, repository=repository, due=due)
    return made


@app.command(epilog="Example: autograder release")
def release(course: Course) -> int:
    """Write release/pset4 of the class: the notebooks that students get."""
    from autograder.commands.course import Course as NbgraderCourse

    there = NbgraderCourse(places.demand(course))
    there.release()
    typer.echo(f"wrote {there.released}. Next: autograder publish FOLDER")
    return 0


@app.command(epilog="Example: autograder publish ../students --dry-run")
def publish(folder: Annotated[Path, typer.Argument(help="Made if it is missing.")], dry_run: DryRun = False) -> int:
    """Write the students' repository, which holds no answers."""
    from autograder.commands import publish as module

    return module.publish(folder, dry_run=dry_run)


@app.command(epilog="Example: autograder collect submissions.zip --roster roster.csv --dry-run")
def collect(
    source: Annotated[Path, typer.Argument(help="What the platform gave: a zip, or a folder of anything.")],
    course: Course,
    roster: Roster = None,
    dry_run: DryRun = False,
) -> int:
    """Sort hand-ins from Canvas, Moodle, Gradescope or a folder into submitted/."""
    places.demand(course)
    from autograder.commands import collect as module

    return module.collect(source, root=course, roster=roster, dry_run=dry_run)


@app.command(epilog="Example: autograder check")
def check() -> int:
    """Say whether this machine grades rightly, without grading anybody."""
    from autograder.commands.check import check_machine

    return check_machine()


@app.command(epilog="Example: autograder grade --student ada")
def grade(
    course: Course,
    student: Annotated[str, typer.Option(help="Only this student (a file pattern).")] = "*",
    force: Annotated[bool, typer.Option("--force", help="Grade again what is graded already.")] = False,
    unsafe_no_sandbox: Annotated[
        bool, typer.Option("--unsafe-no-sandbox", help="Students' code gets all rights of your account.")
    ] = False,
) -> int:
    """Grade what is new or changed, with a progress display."""
    places.demand_student(places.demand(course, places.SUBMITTED), student)
    from autograder.commands import grade as module

    options = [f"--CourseDirectory.student_id={student}"]
    options += [module.FORCE] if force else []
    options += [module.WITHOUT_SANDBOX] if unsafe_no_sandbox else []
    return module.grade(course, *options)


@app.command(epilog="Example: autograder feedback")
def feedback(course: Course) -> int:
    """Write the pages that students read."""
    places.demand(course, places.DATABASE)
    from autograder.commands.course import Course as NbgraderCourse

    there = NbgraderCourse(course)
    status = there.feedback()
    typer.echo(f"wrote {course / 'feedback'}" if not status else f"Not every page was written; why: {there.log}")
    return status


@app.command(epilog="Example: autograder export --to canvas --given gradebook.csv --dry-run")
def export(
    course: Course,
    to: Annotated[Platform, typer.Option(help="The platform; feedback: a zip of pages.")],
    given: Annotated[Path | None, typer.Option(help="Gradebook, worksheet or zip, as downloaded.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file that is written.")] = None,
    roster: Roster = None,
    column: Annotated[str, typer.Option(help="Title of the column with the points.")] = "",
    scale: Annotated[float | None, typer.Option(help="What the maximum becomes, such as 100.")] = None,
    add_bonus: Annotated[bool, typer.Option("--add-bonus", help="Add bonus points to the points.")] = False,
    per_problem: Annotated[bool, typer.Option("--per-problem", help="Canvas's columns of the problems, too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Export although somebody waits for a human.")] = False,
    dry_run: DryRun = False,
) -> int:
    """Fill in what Canvas or Moodle gave, or write another platform's file."""
    places.demand(course, "" if to is Platform.gradescope else places.DATABASE)
    wishes = {"given": given, "output": output, "roster": roster, "column": column, "scale": scale}
    wishes |= {"add_bonus": add_bonus, "per_problem": per_problem, "force": force, "dry_run": dry_run}
    status: int = import_module("autograder.commands.export").export(to.value, root=course, **wishes)
    return status


@app.command(epilog="Example: autograder report --output report.html")
def report(course: Course, output: Annotated[Path, typer.Option(help="The page.")] = Path("report.html")) -> int:
    """Write a page about the class: scores, misconceptions, what needs a human."""
    places.demand(course, places.DATABASE)
    status: int = import_module("autograder.commands.report").report(root=course, output=output)
    return status


@app.command(epilog="Example: autograder table")
def table(course: Course) -> int:
    """Print each student's points by problem, and what needs a human."""
    places.demand(course, places.DATABASE)
    from autograder.commands import table as module

    module.render(module.read_rows(course))
    return 0


@app.command(epilog="Example: autograder formgrader")
def formgrader(course: Course) -> int:
    """Start JupyterLab with Formgrader, where written answers are graded by hand."""
    import subprocess

    places.demand(course, places.CONFIG)
    typer.echo("Formgrader: http://localhost:8888/formgrader (or the port that JupyterLab names); Ctrl-C ends it")
    return subprocess.call([sys.executable, "-m", "jupyterlab"], cwd=course)


@app.command(epilog="Example: autograder sample", rich_help_panel="For developers")
def sample() -> int:
    """Build the sample class, grade it, print the table."""
    from autograder.commands.sample import grade_sample_class

    return grade_sample_class()


@app.command(epilog="Example: autograder notebooks", rich_help_panel="For developers")
def notebooks() -> int:
    """Write notebooks/ from autograder/source/."""
    from autograder.commands.course import release_into
    from autograder.course import folders

    for path in release_into(folders.RELEASED):
        typer.echo(f"wrote {path}")
    return 0


def main() -> None:
    """Runs the command that was typed."""
    app(prog_name="autograder")
