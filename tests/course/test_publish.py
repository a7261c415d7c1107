"""What the students' repository holds: enough to work with, and no line of an answer, now or in its history."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from rich.console import Console

from autograder.answers import all_answers
from autograder.commands import publish as command
from autograder.commands.publish import publish
from autograder.course.folders import COURSE, REPOSITORY, SOURCE
from autograder.publishing import contents, target
from autograder.publishing.contents import Content
from autograder.publishing.leaks import leaks, secret_texts
from pset4 import settings as course_settings
from pset4.settings import load_settings

ADDRESS = "a-university/pset4-students"
BADGE = f"https://colab.research.google.com/github/{ADDRESS}/blob/main/notebooks/problem1_forward.ipynb"


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def addressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The course has an address while these tests run, and its notebooks are released once."""
    folder = tmp_path_factory.mktemp("settings")
    text = (REPOSITORY / "pset4.toml").read_text(encoding="utf-8")
    (folder / "pset4.toml").write_text(text.replace("OWNER/pset4", ADDRESS), encoding="utf-8")
    made: list[Path] = []
    release_into = command.release_into

    def release_once(notebooks: Path) -> list[Path]:
        if not made:
            made.extend(release_into(tmp_path_factory.mktemp("released")))
        return [Path(shutil.copy(path, notebooks)) for path in made]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course_settings, "settings_file", lambda: folder / "pset4.toml")
        patch.setattr(command, "release_into", release_once)
        yield


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "students"
    assert publish(folder) == 0
    return folder


@pytest.fixture
def students(published: Path, tmp_path: Path) -> Path:
    """A copy of the published folder that a test may change."""
    return Path(shutil.copytree(published, tmp_path / "students"))


@pytest.fixture
def say() -> Callable[..., tuple[int, str]]:
    """Publishes, and hands back status and words."""

    def run(folder: Path, *, dry_run: bool = False) -> tuple[int, str]:
        console = Console(record=True, width=200, file=io.StringIO())
        status = publish(folder, dry_run=dry_run, console=console)
        return status, console.export_text()

    return run


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def texts(folder: Path) -> dict[str, bytes]:
    return {name: data for name, (data, _) in snapshot(folder).items()}


# What is in it


def test_it_holds_what_students_need_and_nothing_else(published: Path) -> None:
    top = {path.name for path in published.iterdir()}
    assert top == {
        *(".gitignore", ".published", "LICENSE", "README.md", "data", "docs", "environment.yml", "notebooks", "pset4"),
        *("pset4.toml", "pyproject.toml"),
    }
    assert len(list((published / "notebooks").iterdir())) == len(list(SOURCE.glob("*.ipynb")))
    ours = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "pset4").rglob("*.py")}
    assert ours == {path.relative_to(published) for path in (published / "pset4").rglob("*.py")}


def test_badge_installation_and_settings_name_the_students_repository(published: Path) -> None:
    notebook = (published / "notebooks" / "problem1_forward.ipynb").read_text(encoding="utf-8")
    assert BADGE in notebook and f"github.com/{ADDRESS}@" in notebook and "OWNER" not in notebook.split('"metadata"')[1]
    assert BADGE in (published / "README.md").read_text(encoding="utf-8")
    assert load_settings(published / "pset4.toml").repository == ADDRESS


def test_the_settings_are_the_courses_without_those_of_grading(published: Path) -> None:
    ours = tomllib.loads(course_settings.settings_file().read_text(encoding="utf-8"))
    theirs = tomllib.loads((published / "pset4.toml").read_text(encoding="utf-8"))
    assert theirs == {name: section for name, section in ours.items() if name != "grading"}


def test_dependencies_are_one_list_and_extras_the_students(published: Path) -> None:
    ours = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    theirs = tomllib.loads((published / "pyproject.toml").read_text(encoding="utf-8"))
    assert theirs["project"]["dependencies"] == ours["dependencies"]
    assert set(theirs["project"]["optional-dependencies"]) == {"embedded", "lab", "handin"}
    assert theirs["project"]["scripts"] == {"pset4": "pset4.command_line:main"}
    assert set(theirs["tool"]) == {"hatch"}
    environment = yaml.safe_load((published / "environment.yml").read_text(encoding="utf-8"))
    assert environment["dependencies"][-1] == {"pip": ["-e .[embedded,lab,handin]"]}


def test_its_wheel_holds_the_package_and_nothing_of_the_course(published: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(published)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        carried = {name: archive.read(name) for name in archive.namelist()}
    assert {name.split("/")[0].split("-")[0] for name in carried} == {"pset4"}
    assert {"pset4/data/manifest.json", "pset4/pset4.toml"} <= carried.keys()
    assert leaks(carried) == []


def test_its_package_is_imported_alone(published: Path, student_environment: dict[str, str]) -> None:
    script = "import pset4, pset4.checks, pset4.settings as s; print(pset4.__file__, s.load_settings().repository)"
    alone = student_environment | {"PYTHONPATH": str(published), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=alone, cwd="/", check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(published / "pset4" / "__init__.py"), ADDRESS]


def test_pages_name_only_what_is_there(published: Path) -> None:
    for page in published.rglob("*.md"):
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    text = (published / "README.md").read_text(encoding="utf-8") + (published / "docs" / "student.md").read_text()
    assert not re.search(r"autograder|-m training|`make ", text)


def test_commands_of_its_front_page_can_be_typed(published: Path) -> None:
    from pset4.command_line import main

    text = (published / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"pset4 (\w+)", text)) - {"s"}
    assert names >= {"doctor", "handin"}
    for name in names:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0


# No answers


def test_no_line_of_source_exam_or_bank_is_in_the_folder_or_its_history(students: Path, published: Path) -> None:
    git(students, "init", "-q")
    git(students, "add", "--all")
    git(students, "commit", "-q", "-m", "first")
    assert set(git(students, "ls-files").splitlines()) == texts(published).keys()
    assert publish(students) == 0
    kept = target.history(students)
    assert {name.rpartition(" ")[2] for name in kept} >= {"pset4/__init__.py", "notebooks/problem1_forward.ipynb"}
    assert leaks(texts(students)) == []
    assert leaks({name.partition(") ")[2]: data for name, data in kept.items()}) == []


IN_ANY_PROGRAM = {"with torch.no_grad():", "x = x.detach().clone()"}


def test_no_long_line_between_the_markers_is_in_any_file(published: Path) -> None:
    """Asked in another way than the guard asks."""
    everything = b"\n".join(data for name, data in texts(published).items() if not name.endswith("safetensors"))
    cells = [cell for path in SOURCE.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    hidden = [
        line.strip()
        for cell in cells
        for part in re.findall(r"### BEGIN [A-Z ]+\n(.*?)### END", cell.source, re.DOTALL)
        for line in part.splitlines()
        if len(line.strip()) > 20
    ]
    assert len(hidden) > 100
    forms = {line: {line.encode(), json.dumps(line, ensure_ascii=False)[1:-1].encode()} for line in hidden}
    found = {line for line, written in forms.items() if any(form in everything for form in written)}
    assert found <= IN_ANY_PROGRAM


RIGHT = [answer for answer in all_answers() if answer.right]


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: f"{answer.exercise}: {answer.name}")
def test_every_right_answer_is_seen_wherever_it_stands(answer: object) -> None:
    source = answer.source  # type: ignore[attr-defined]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    planted = {
        "pset4/helper.py": "\n".join(f"    {line}" for line in source.splitlines()).encode(),
        "docs/page.md": "\n".join(f"> {line}" for line in source.splitlines()).encode(),
        "notebooks/copy.ipynb": nbformat.writes(notebook).encode(),
    }
    assert {leak.path for leak in leaks(planted)} >= {"pset4/helper.py", "notebooks/copy.ipynb"}


@pytest.mark.parametrize("path", sorted((COURSE / "exams").glob("problem*.py")), ids=lambda path: path.name)
def test_every_exam_and_every_source_notebook_is_seen(path: Path) -> None:
    assert leaks({"data/notes.txt": path.read_bytes()})
    assert leaks({"notebooks/n.ipynb": next(SOURCE.glob(f"{path.stem}*.ipynb")).read_bytes()})


def test_a_planted_line_is_refused_by_file_and_line_before_anything_is_written(
    tmp_path: Path, say: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = next(text for text, home in secret_texts().items() if "p3b_backward_kernel" in home and "\n" not in text)
    made = contents.students_files

    def planted(*arguments: object) -> dict[str, Content]:
        files = made(*arguments)  # type: ignore[arg-type]
        files["pset4/device.py"] = Content(files["pset4/device.py"].data + f"\n# why not?\n    {line}\n".encode())
        return files

    monkeypatch.setattr(command, "students_files", planted)
    status, said = say(tmp_path / "students")
    number = len((REPOSITORY / "pset4" / "device.py").read_text(encoding="utf-8").splitlines()) + 3
    assert status == 1 and not (tmp_path / "students").exists()
    assert f"pset4/device.py, line {number}: " in said and "p3b_backward_kernel" in said


def test_what_cannot_be_searched_is_refused(
    tmp_path: Path, say: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = contents.students_files
    added = {"data/answers.zip": Content(b"PK\x03\x04\0")}
    monkeypatch.setattr(command, "students_files", lambda *arguments: made(*arguments) | added)
    status, said = say(tmp_path / "students")
    assert status == 1 and "data/answers.zip is no text" in said


def test_a_folder_whose_history_holds_a_solution_is_refused(
    students: Path, say: Callable[..., tuple[int, str]]
) -> None:
    git(students, "init", "-q")
    shutil.copy(next(SOURCE.glob("*.ipynb")), students / "solved.ipynb")
    git(students, "add", "--all")
    git(students, "commit", "-q", "-m", "too much")
    git(students, "rm", "-q", "solved.ipynb")
    git(students, "commit", "-q", "-m", "taken back")
    status, said = say(students)
    assert status == 1 and "The history of" in said and "solved.ipynb" in said


# The folder


def test_the_same_course_gives_the_same_bytes(published: Path, tmp_path: Path) -> None:
    assert publish(tmp_path / "again") == 0
    assert snapshot(tmp_path / "again") == snapshot(published)
    assert all(path.stat().st_nlink == 1 for path in published.rglob("*") if path.is_file())


def test_it_is_brought_up_to_date_and_foreign_files_and_git_stay(
    students: Path, published: Path, say: Callable[..., tuple[int, str]]
) -> None:
    git(students, "init", "-q")
    before = snapshot(students / ".git")
    (students / "pset4" / "old").mkdir()
    (students / "pset4" / "old" / "gone.py").write_text("")
    with (students / ".published").open("a", encoding="utf-8") as file:
        file.write("pset4/old/gone.py\n")
    (students / "LICENSE").write_text("none")
    (students / "pset4" / "device.py").unlink()
    (students / "news.md").write_text("Monday")
    there = snapshot(students)
    status, said = say(students, dry_run=True)
    assert status == 0 and snapshot(students) == there
    assert re.findall(r"^(?:new|changed|removed) +\S+", said, re.MULTILINE) == [
        "new      pset4/device.py",
        "changed  LICENSE",
        "removed  pset4/old/gone.py",
    ]
    status, said = say(students)
    assert status == 0 and "1 files new, 1 changed, 1 removed" in said and "news.md" in said
    assert snapshot(students / ".git") == before and (students / "news.md").read_text() == "Monday"
    assert not (students / "pset4" / "old").exists()
    left = {name: found for name, found in snapshot(students).items() if not name.startswith(".git/")}
    assert left == snapshot(published) | {"news.md": left["news.md"]}


def test_it_says_how_to_push_and_makes_no_repository(tmp_path: Path, say: Callable[..., tuple[int, str]]) -> None:
    status, said = say(tmp_path / "students")
    assert status == 0 and not (tmp_path / "students" / ".git").exists()
    assert "git init -b main" in said and f"git remote add origin https://github.com/{ADDRESS}.git" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("echo mine > LICENSE; sed -i /^LICENSE$/d .published", "LICENSE is there, and publish has not written it"),
        ("rm .published", "holds files that publish has not written"),
        ("mv pset4 real; ln -s real pset4", "pset4 is a link"),
        ("rm LICENSE; ln -s README.md LICENSE", "LICENSE is a link"),
        ("echo ../../etc/passwd >> .published", "names '../../etc/passwd'"),
        ("echo .git/config >> .published", "names '.git/config'"),
        ("rm -r docs; echo > docs", "docs/student.md cannot be written"),
        ("git init -q; git remote add origin git@github.com:else/where.git", "is pushed to else/where"),
    ],
)
def test_what_would_harm_is_refused_and_nothing_changes(
    change: str, sentence: str, students: Path, say: Callable[..., tuple[int, str]]
) -> None:
    subprocess.run(change, shell=True, cwd=students, check=True)
    before = snapshot(students)
    status, said = say(students)
    assert status == 1 and sentence in said and snapshot(students) == before


@pytest.mark.parametrize("folder", [REPOSITORY, REPOSITORY / "students", COURSE / "release" / "students"])
def test_the_course_itself_is_never_the_place(folder: Path, say: Callable[..., tuple[int, str]]) -> None:
    status, said = say(folder)
    assert status == 1 and "lies in the course's own repository" in said and not (folder / ".published").exists()


def test_a_file_is_no_place(tmp_path: Path, say: Callable[..., tuple[int, str]]) -> None:
    (tmp_path / "file").write_text("")
    status, said = say(tmp_path / "file")
    assert status == 1 and "is a file; give the name of a folder" in said


@pytest.mark.parametrize(
    ("repository", "origin", "sentence"),
    [
        ("OWNER/pset4", "", "names nobody yet"),
        ("a-university/pset4", "git@github.com:A-University/pset4.git", "is this repository itself"),
    ],
)
def test_the_address_must_be_the_students(repository: str, origin: str, sentence: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    if origin:
        git(tmp_path, "remote", "add", "origin", origin)
    text = (REPOSITORY / "pset4.toml").read_text(encoding="utf-8").replace("OWNER/pset4", repository)
    (tmp_path / "pset4.toml").write_text(text, encoding="utf-8")
    with pytest.raises(command.Refused, match=sentence):
        command.check_address(load_settings(tmp_path / "pset4.toml"), tmp_path / "none", tmp_path)


# The course's own repository


STUDENTS_WORK = (
    *("downloaded/pset4/archive/a.zip", "submitted/ada/pset4/problem1_forward.ipynb", "autograded/ada/pset4/p.ipynb"),
    *("feedback/ada/pset4/p.html", "collected/pset4/ada/p.ipynb", "exchange/course/inbound/p.ipynb", "gradebook.db"),
    *("gradebook.db-journal", "results/results.db", "results.db-wal", ".nbgrader.log", "nbgrader.log", "ada.zip"),
    *("extensions.csv", "roster.csv", "grades.csv", ".secret", "release/pset4/p.ipynb"),
)


@pytest.mark.parametrize("folder", ["", "autograder/", "spring/"])
def test_git_never_takes_students_work(folder: str) -> None:
    names = "\n".join(folder + name for name in STUDENTS_WORK)
    check = ["git", "check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(check, cwd=REPOSITORY, input=names, capture_output=True, text=True)
    assert done.stdout.split() == names.split()


def test_git_ignores_nothing_of_the_course() -> None:
    assert git(REPOSITORY, "ls-files", "--cached", "--ignored", "--exclude-standard") == ""
