"""nbgrader's settings for this course. nbgrader reads this file when its commands are typed in this folder."""

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ComputeChecksums,
    Execute,
    IgnorePattern,
    IncludeHeaderFooter,
    InstantiateTests,
    LimitOutput,
    LockCells,
    SaveAutoGrades,
    SaveCells,
)

from autograder.commands.export import CourseExport
from autograder.course.preprocessors import (
    FillCourseAddress,
    ForgiveStderr,
    OpenExercises,
    RefuseDisagreements,
    SetExamSeed,
)
from autograder.engine.grader.plugs import use_safe_pages, use_two_processes
from pset4.settings import SettingsError, load_settings

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets provides it

c.CourseDirectory.course_id = "pset4"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".secret"]

# --- release
c.GenerateAssignment.preprocessors = [
    RefuseDisagreements,
    FillCourseAddress,  # before the checksums are taken
    IncludeHeaderFooter,
    InstantiateTests,
    LockCells,
    OpenExercises,
    ClearOutput,
    CheckCellMetadata,
    ComputeChecksums,
    SaveCells,
    ClearHiddenTests,
    ClearMarkScheme,
    ComputeChecksums,
    CheckCellMetadata,
]
c.OpenExercises.text_stub = "*Your answer here.*"

# --- grading
c.OverwriteCells.add_missing_cells = True
# nbgrader allows 30 s a cell; an attack on a slow machine needs more. One call of a student's function inside an exam
# has a limit of its own (autograder.exams).
c.Execute.timeout = 120
c.Autograde.autograde_preprocessors = [
    RefuseDisagreements,
    SetExamSeed,
    Execute,
    ForgiveStderr,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]

# --- pages with students' words: feedback and Formgrader
use_safe_pages(c)

# --- export: a score that is none is never 0
c.ExportApp.plugin_class = CourseExport

# --- how submissions are run (pset4.toml, section `grading`)
try:
    settings = load_settings()
except SettingsError as reason:  # nbgrader would log any other error, and go on without what stands here
    raise SystemExit(str(reason)) from None
if settings.two_processes:
    use_two_processes(c)
    c.RunTwoProcesses.unsafe_no_sandbox = settings.unsafe_no_sandbox
