"""`autograder new`: a folder for a class, and the settings that every class needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from rich.console import Console

from pset4.settings import load_settings, settings_file

CONFIG = """\
# nbgrader reads this file when its commands are typed in this folder: everything is as in the course itself.
from pathlib import Path

from autograder.course.folders import COURSE

load_subconfig("nbgrader_config.py", path=str(COURSE))  # noqa: F821
c = get_config()  # noqa: F821
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.source_directory = str(COURSE / "source")
"""
README = """\
# A class

The work and the grades of one class. Nothing of this is ever published.

* `roster.csv`: the class list, a line for each student: id, names, e-mail, and what else a platform calls them.
* `extensions.csv`, if you need it: `student_id,due` or `student_id,days`, a line for each student with more time.

In this folder:

```
autograder release
autograder collect DOWNLOAD --roster roster.csv
autograder grade
autograder formgrader
autograder feedback
autograder table
```
"""
FILES = {"nbgrader_config.py": CONFIG, "README.md": README, "roster.csv": "id,last_name,first_name,email\n"}


def new_course(
    folder: Path, *, name: str = "", repository: str = "", due: str = "", console: Console | None = None
) -> int:
    """Makes a folder for a class, and sets in `pset4.toml` what was given; nothing that is there is overwritten.

    Args:
        folder: Made if it is missing; otherwise it must be empty.
        name: What stands on students' reports.
        repository: `owner/name` of the students' repository.
        due: The due date with its time zone.
        console: Where to say what was done.

    Returns:
        0; 1 if the folder holds something.

    Raises:
        SettingsError: If a value is not what the setting must be; nothing is changed then.
    """
    console = console or Console()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        words = f"{folder} holds something already, and nothing is overwritten; give the name of a new folder."
        console.print(words, markup=False, soft_wrap=True)
        return 1
    wanted = {"name": name, "repository": repository, "due": due}
    lines = change_settings(settings_file(), {key: value for key, value in wanted.items() if value})
    (folder / "submitted").mkdir(parents=True)
    for file, text in FILES.items():
        (folder / file).write_text(text, encoding="utf-8")
    for line in (*lines, f"made {folder}", f"Next: cd {folder}, fill in roster.csv, and type `autograder release`."):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def change_settings(path: Path, values: dict[str, Any]) -> list[str]:
    """Changes settings of the section `course`, keeps comments and order, and says each change.

    Raises:
        SettingsError: If the file would not be what it must be; it stays as it was.
    """
    before = path.read_text(encoding="utf-8")
    load_settings(path)
    document = tomlkit.parse(before)
    section: Any = document["course"]
    lines = [f"{path}: {key} = {section.get(key)!r} is now {value!r}" for key, value in values.items()]
    section.update(values)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(tomlkit.dumps(document), encoding="utf-8")
        load_settings(draft)
        if values:
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return lines
