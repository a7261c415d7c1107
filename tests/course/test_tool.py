"""What a person may type, and what the command `autograder` says to it: one sentence and an exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autograder.course.folders import COURSE, REPOSITORY
from autograder.tool import app
from pset4 import settings

WORK = ("new", "release", "publish", "collect", "check", "grade", "feedback", "export", "report", "table", "formgrader")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few things that somebody may take for a course; settings of its own."""
    text = (REPOSITORY / "pset4.toml").read_text(encoding="utf-8")
    (tmp_path / "pset4.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(settings, "settings_file", lambda: tmp_path / "pset4.toml")
    monkeypatch.setattr("autograder.commands.new.settings_file", lambda: tmp_path / "pset4.toml")
    (tmp_path / "empty").mkdir()
    (tmp_path / "class" / "submitted" / "adalove" / "pset4").mkdir(parents=True)
    (tmp_path / "outer" / "autograder").mkdir(parents=True)
    (tmp_path / "outer" / "autograder" / "gradebook.db").write_text("")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "gradebook.db").write_text("no database")
    (tmp_path / "broken" / "submitted").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "roster.csv").write_text("id,name\nada,Ada\nada,Ada\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def say(words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words.split(), env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


MISTAKES = [
    ("", 2, "Usage"),
    ("tabel", 2, "Did you mean 'table'?"),
    ("exprot", 2, "Did you mean 'export'?"),
    ("zzz", 2, "No such command 'zzz'"),
    ("table --cuorse empty", 2, "No such option: --cuorse"),
    ("table --course", 2, "--course"),
    ("table ada", 2, "unexpected extra argument"),
    ("table --course nowhere", 1, "nowhere does not exist; --course is the folder of a class"),
    ("table --course file", 1, "file is a file; --course is"),
    ("table --course empty", 1, "empty has no gradebook.db (nobody is graded there yet"),
    ("table --course outer", 1, "Did you mean --course outer/autograder?"),
    ("table --course outer/autograder/..", 1, "gradebook.db"),
    ("table --course broken", 1, "gradebook.db cannot be read"),
    ("feedback --course empty", 1, "empty has no gradebook.db"),
    ("report --course empty", 1, "empty has no gradebook.db"),
    ("export --course empty --to nbgrader", 1, "empty has no gradebook.db"),
    ("export --course empty", 2, "Missing option '--to'"),
    ("export --course empty --to canvs", 2, "canvas"),
    ("export --course empty --to canvas --scale much", 2, "--scale"),
    ("grade --course empty", 1, "empty has no submitted (nobody has handed in)"),
    ("grade --course nowhere", 1, "nowhere does not exist"),
    ("grade --course class --student adalov", 1, "has no adalov; did you mean adalove?"),
    ("grade --course class --student zzz", 1, "has no zzz; there is adalove"),
    ("formgrader --course empty", 1, "empty has no nbgrader_config.py"),
    ("release --course nowhere", 1, "nowhere does not exist"),
    ("collect", 2, "Missing argument"),
    ("collect nowhere.zip --course class", 1, "nowhere.zip"),
    ("collect file --course nowhere", 1, "nowhere does not exist"),
    ("collect file --course class", 1, "file"),
    ("collect empty --course class", 1, "empty holds none of problem1_forward.ipynb"),
    ("collect empty --course class --roster none.csv", 1, "none.csv cannot be read as a class list"),
    ("collect empty --course class --roster roster.csv", 1, "names ada more than once"),
    ("publish", 2, "Missing argument"),
    ("publish students", 1, "Nothing is published."),
    ("new", 2, "Missing argument"),
    ("new class", 1, "class holds something already, and nothing is overwritten"),
    ("new file", 1, "file holds something already"),
    ("new spring --repository course", 1, 'repository must be "owner/name"'),
    ("new spring --due tomorrow", 1, "due must be a date and time with its time zone"),
]


@pytest.mark.parametrize(("words", "status", "sentence"), MISTAKES, ids=[words or "nothing" for words, *_ in MISTAKES])
def test_a_mistake_ends_in_a_sentence_and_changes_nothing(words: str, status: int, sentence: str, here: Path) -> None:
    before = {path: path.read_bytes() if path.is_file() else b"" for path in here.rglob("*")}
    got, said = say(words)
    assert got == status
    assert sentence in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() if path.is_file() else b"" for path in here.rglob("*")} == before


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("two_processes = true", "two_process = true", "did you mean two_processes?"),
        ("two_processes = true", 'two_processes = "no"', "two_processes must be true or false"),
        ("[attack]", "[atack]", "did you mean [attack]?"),
        ("n_iter = 200", "n_iter = ", "cannot be read"),
    ],
)
def test_wrong_settings_end_in_a_sentence(old: str, new: str, sentence: str, here: Path) -> None:
    file = here / "pset4.toml"
    file.write_text(file.read_text().replace(old, new))
    status, said = say("new spring --name Vision")
    assert status == 1 and sentence in said and str(file) in said
    assert not (here / "spring").exists()


def test_a_new_class_has_its_folder_and_its_settings(here: Path) -> None:
    comments = [line for line in (here / "pset4.toml").read_text().splitlines() if line.startswith("#")]
    status, said = say(
        "new spring --name Vision --repository https://github.com/uni/pset4 --due 2026-10-01T23:59-04:00"
    )
    assert status == 0 and "Next: cd spring" in said
    found = settings.load_settings(here / "pset4.toml")
    assert (found.course_name, found.repository) == ("Vision", "uni/pset4") and found.due
    assert [line for line in (here / "pset4.toml").read_text().splitlines() if line.startswith("#")] == comments
    names = {path.name for path in (here / "spring").iterdir()}
    assert names == {"nbgrader_config.py", "README.md", "roster.csv", "submitted"}


def test_nbgrader_reads_the_courses_configuration_in_a_new_class(here: Path) -> None:
    from traitlets.config.loader import PyFileConfigLoader

    say("new spring")
    config = PyFileConfigLoader("nbgrader_config.py", path=str(here / "spring")).load_config()
    assert config.CourseDirectory.root == str(here / "spring")
    assert config.CourseDirectory.source_directory == str(COURSE / "source")
    assert config.CourseDirectory.course_id == "pset4"


@pytest.mark.parametrize("command", [*WORK, "sample", "notebooks"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    status, said = say(f"{command} --help")
    assert status == 0 and f"Example: autograder {command}" in said


def test_the_commands_stand_in_the_order_of_the_work() -> None:
    said = say("--help")[1]
    places = [said.index(f" {command} ", said.index("Commands")) for command in WORK]
    assert places == sorted(places)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_need_nothing_heavy(option: str) -> None:
    code = (
        "import sys\nfrom autograder.tool import app\n"
        f"try: app([{option!r}])\nexcept SystemExit as ended: assert not ended.code\n"
        "print('heavy:', [n for n in ('torch', 'numpy', 'nbgrader', 'nbconvert') if n in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert "heavy: []" in result.stdout


def test_python_m_is_the_same_command() -> None:
    command = [sys.executable, "-m", "autograder", "tabel"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 2 and "Did you mean 'table'?" in result.stderr and "Traceback" not in result.stderr


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("autograder.commands.check.check_machine", interrupted)
    assert say("check")[0] == 130


def test_a_status_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograder.commands.check.check_machine", lambda: 3)
    assert say("check")[0] == 3
