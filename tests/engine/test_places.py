"""Wherever environment, checkout, course and photos stand, a submission sees what it needs, and nothing of the course.

Each place is really built: a copy of the checkout, an environment with a module that is imported late, a mirror, and
files that nobody may see. A grader is started there; it opens a sandbox and looks around from inside.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.course.folders import REPOSITORY
from autograder.engine.grader import sandbox
from autograder.engine.grader.home import copy_files
from autograder.engine.grader.places import Layer, first_unreadable, layers
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.wire.limits import Limits

IS_ROOT = os.geteuid() == 0
SECRET = "not-for-students"
PHOTO = b"the bytes of a photo"

# What a grader does: it opens the namespaces of a submission, and a process in them looks around.
GRADER = """
import json, os, sys
from pathlib import Path
from autograder.engine.grader import sandbox
from autograder.engine.grader.assets import submission_variables
from autograder.engine.inside import confinement
from autograder.engine.wire.limits import Limits
about = json.loads(sys.argv[1])
folder = Path(about["files"]) if about["files"] else None
hidden = [Path(path) for path in about["hidden"]]
try:
    namespace = sandbox.Namespace(limits=Limits(), scratch_files=folder, device="cpu", hidden=hidden)
except sandbox.SandboxUnavailable as error:
    print(json.dumps({"refused": str(error)}))
    sys.exit()
paths = os.pathsep.join(path for path in sys.path if path)
variables = {"HOME": sandbox.HOME, "PYTHONPATH": paths, **submission_variables(sandbox.HOME, sandbox=True)}
size, number = namespace.usage()
reader, writer = os.pipe()
if os.fork() == 0:
    os.dup2(writer, 9)
    confinement.join(namespace.handle, namespace.root, users=namespace.has_users)
    if os.fork() == 0:
        confinement.confine(None if namespace.has_users else namespace.user, device="cpu")
        os.chdir(sandbox.HOME)
        os.execve(sys.executable, [sys.executable, "-c", about["inside"], sys.argv[1]], variables)
    os.wait()
    os._exit(0)
os.close(writer)
seen = os.fdopen(reader).read()
os.wait()
namespace.close()
print(json.dumps({"size": size, "number": number, **json.loads(seen)}))
"""
INSIDE = """
import json, os, sys
about = json.loads(sys.argv[1])
found = {"late": None, "photo": None, "secrets": [], "written": [], "files": {}}
try:
    import late
    found["late"] = late.VALUE
except ImportError as error:
    found["late"] = str(error)
from pset4.files.assets import fetch
from pset4.files.manifest import find_asset
from pset4.settings import data_folder, load_settings
found["photo"] = fetch("photo").read_bytes().decode()
found["data"] = (data_folder() / "weights.bin").read_text()
found["branch"] = load_settings().branch
for folder, names, files in os.walk("/"):
    pruned = [os.path.join(folder, name) for name in names]
    names[:] = [n for n, path in zip(names, pruned) if path not in about["skipped"]]
    found["secrets"] += [os.path.join(folder, name) for name in [*names, *files] if about["secret"] in name]
found["secrets"] += [path for path in about["secrets"] if os.path.lexists(path)]
for folder in ("/tmp", "/dev/shm", "/home/student"):
    open(folder + "/written", "w").close()
    found["written"].append(folder)
for path in (about["root"], about["data"], "/srv/pset4", "/srv", "/usr/local"):
    try:
        open(path + "/x", "w").close()
        found["written"].append(path)
    except OSError:
        pass
for name in os.listdir():
    if os.path.isfile(name):
        found["files"][name] = open(name).read()
os.write(9, json.dumps(found).encode())
"""


@dataclass
class Place:
    """A machine in small: where everything stands, how the grader is started, what may not be seen.

    Attributes:
        root: Folder that everything stands in.
        python: The environment's interpreter.
        checkout: The course's repository, as the grader writes it.
        start: Command that the grader's own command follows.
        variables: Of the grader's environment.
        secrets: Files that no submission may see.
        files: Folder of the submission.
        hidden: Folders that the grader asks to hide.
    """

    root: Path
    python: Path
    checkout: Path
    start: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    secrets: list[Path] = field(default_factory=list)
    files: Path | None = None
    hidden: list[Path] = field(default_factory=list)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Starts a grader there."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "PYTHONPATH": str(self.checkout),
            "PSET4_MIRROR": str(self.root / "mirror"),
            "PSET4_CACHE": str(self.root / "cache"),
            "PSET4_MANIFEST": str(self.root / "manifest.json"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_WAIT_POLICY": "passive",
            **self.variables,
        }
        command = [*self.start, str(self.python), "-P", "-c", program, *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False, cwd="/")

    def look(self) -> dict[str, Any]:
        """What a submission sees and can do there, or why the grader refused."""
        about = {
            "inside": INSIDE,
            "secret": SECRET,
            "secrets": [str(path) for path in self.secrets],
            "skipped": [path for path in LARGE if not str(self.root).startswith(path)],
            "root": str(self.root),
            "data": str(self.checkout / "data"),
            "files": str(self.files) if self.files else "",
            "hidden": [str(path) for path in self.hidden],
        }
        done = self.run(GRADER, json.dumps(about))
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def keep_secret(self, *paths: Path) -> None:
        """Writes files that nobody may see."""
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SECRET)
            self.secrets.append(path)


LARGE = ["/proc", "/sys", "/usr/lib", "/usr/share", "/usr/include", *map(str, site.getsitepackages())]


def expected(**changes: Any) -> dict[str, Any]:
    seen = {
        "late": "imported late",
        "photo": PHOTO.decode(),
        "data": "weights",
        "branch": "main",
        "secrets": [],
        "written": ["/tmp", "/dev/shm", "/home/student"],
        "files": {},
    }
    return seen | changes


def seen_by(place: Place) -> dict[str, Any]:
    seen = place.look()
    assert "refused" not in seen, seen["refused"]
    assert seen.pop("size") < 1_000_000, "what is shown does not count as written"
    assert seen.pop("number") < 200
    assert not (place.root / "x").exists()
    if not IS_ROOT and str(place.root) in seen["written"]:
        # Folders on the way to what is shown are the sandbox's own, in memory; in a user namespace all is its own.
        seen["written"].remove(str(place.root))
    seen["files"].pop("written", None)
    return seen


def build(root: Path, *, environment: Path | None = None, checkout: Path | None = None) -> Place:
    """A checkout, an environment, a mirror, a course and secrets below a folder."""
    checkout = checkout or root / "checkout"
    environment = environment or root / "environment"
    place = Place(root, environment / "bin" / "python", checkout)
    make_environment(environment)
    make_checkout(checkout)
    (root / "mirror" / "images").mkdir(parents=True)
    (root / "mirror" / "images" / "photo.jpg").write_bytes(PHOTO)
    photo = {
        **{"name": "photo", "path": "images/photo.jpg", "urls": [f"https://{SECRET}@example.org"]},
        **{"sha256": hashlib.sha256(PHOTO).hexdigest(), "size": len(PHOTO), "licence": "none", "attribution": "nobody"},
    }
    (root / "manifest.json").write_text(json.dumps({"files": [photo]}))
    place.keep_secret(
        *(root / SECRET, root / "home" / SECRET, root / "mirror" / SECRET, root / "mirror" / "images" / SECRET),
        *(checkout / SECRET, checkout / "autograder" / ".secret", checkout / "autograder" / "source" / SECRET),
        *(checkout / "autograder" / "submitted" / "ada" / SECRET, checkout / "autograder" / "gradebook.db"),
        *(checkout / "tests" / SECRET, root / "cache" / SECRET),
    )
    place.secrets += [checkout / "autograder" / "exams" / "problem1.py", checkout / "autograder" / "__init__.py"]
    return place


def make_environment(folder: Path) -> None:
    """A virtual environment of its own that borrows the packages of the one that runs these tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    fill_packages(folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages")


def fill_packages(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "late.py").write_text("VALUE = 'imported late'")
    (folder / "borrowed.pth").write_text("\n".join(site.getsitepackages()))


def make_checkout(folder: Path) -> None:
    for name in ("pset4", "autograder"):
        leave_out = shutil.ignore_patterns("*.ipynb", "__pycache__", "sample_course", "results", ".secret", "*.db")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=leave_out, dirs_exist_ok=True)
    (folder / "data").mkdir()
    (folder / "data" / "manifest.json").write_text('{"files": []}')
    (folder / "data" / "weights.bin").write_text("weights")
    shutil.copy(REPOSITORY / "pset4.toml", folder / "pset4.toml")


# The sandbox's own folders and the system's: root may build there.
ROOTS_FOLDERS = (
    *("/home/student", "/usr", "/usr/local", "/usr/share", "/usr/local/lib", "/etc", "/root", "/opt", "/run", "/srv"),
    *("/srv/pset4", "/mnt", "/home", "/"),
)
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", *(ROOTS_FOLDERS if IS_ROOT else ()))
# Whatever is installed there is shown, but for the course.
SEEN_WHOLE = ("/usr/share", "/usr/local/lib")
NAMES = (
    *("with space/umläut-ß-日本", "#hash/100%/[x]", "quote'\"/-dash/back\\slash", "$HOME/semi;colon/a&b|c"),
    *("star*?/tilde~/{brace}", "lib/site-packages", "tmp/dev/shm/home/student"),
)


@pytest.fixture
def cleared() -> Iterator[ExitStack]:
    """Removes what was built outside of the tests' own folder."""
    with ExitStack() as stack:
        yield stack


def new_folder(parent: str, cleared: ExitStack) -> Path:
    """A folder of our own below one of the system's, which is made if need be."""
    missing = [path for path in (Path(parent), *Path(parent).parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o755)
        cleared.callback(path.rmdir)
    folder = Path(tempfile.mkdtemp(prefix="pset4-test-", dir=parent))
    folder.chmod(0o755)
    cleared.callback(shutil.rmtree, folder)
    return folder


@pytest.mark.parametrize("parent", FOLDERS)
def test_everything_may_stand_below(parent: str, cleared: ExitStack) -> None:
    place = build(new_folder(parent, cleared))
    seen = seen_by(place)
    if parent in SEEN_WHOLE:
        seen["secrets"] = [path for path in seen["secrets"] if path.startswith(str(place.checkout))]
    assert seen == expected()


@pytest.mark.parametrize("name", NAMES)
def test_paths_may_be_named(name: str, tmp_path: Path) -> None:
    assert seen_by(build(tmp_path / name)) == expected()


def environment_is_a_link(root: Path) -> Place:
    place = build(root, environment=root / "elsewhere" / "environment")
    (root / "environment").symlink_to(root / "elsewhere" / "environment")
    place.python = root / "environment" / "bin" / "python"
    return place


def environment_is_a_link_in_the_checkout(root: Path) -> Place:
    place = build(root)
    (place.checkout / ".venv").symlink_to("../environment")
    place.python = place.checkout / ".venv" / "bin" / "python"
    return place


def parent_is_a_link(root: Path) -> Place:
    place = build(root / "disk" / "home")
    (root / "home").symlink_to(root / "disk" / "home")
    through = root / "home"
    return Place(through, through / "environment/bin/python", through / "checkout", secrets=place.secrets)


def checkout_is_a_link(root: Path) -> Place:
    place = build(root)
    (root / "link").symlink_to("checkout")
    place.checkout = root / "link"
    return place


def photos_are_links(root: Path) -> Place:
    place = build(root)
    photo = root / "mirror" / "images" / "photo.jpg"
    photo.rename(root / "photo.jpg")
    photo.symlink_to("../../photo.jpg")
    return place


def photo_is_in_the_cache(root: Path) -> Place:
    place = build(root)
    (root / "mirror" / "images").rename(root / "cache" / "images")
    place.secrets = [path for path in place.secrets if path.exists()]
    return place


def environment_in_the_checkout(root: Path) -> Place:
    return build(root, environment=root / "checkout" / ".venv")


def checkout_is_the_environment(root: Path) -> Place:
    return build(root, environment=root / "checkout")


def checkout_below(*parts: str) -> Any:
    def placed(root: Path) -> Place:
        return build(root, checkout=root.joinpath("environment", *parts, "checkout"))

    return placed


def mirror_holds_everything(root: Path) -> Place:
    place = build(root)
    shutil.move(root / "mirror" / "images", root / "images")
    place.secrets = [path for path in place.secrets if path.exists()]
    place.variables["PSET4_MIRROR"] = str(root)
    return place


def cache_holds_everything(root: Path) -> Place:
    place = mirror_holds_everything(root)
    place.variables |= {"PSET4_MIRROR": "", "PSET4_CACHE": str(root)}
    return place


def search_path_holds_everything(root: Path) -> Place:
    place = build(root)
    place.variables["PYTHONPATH"] = os.pathsep.join([str(place.checkout), str(root), str(root / "home")])
    return place


def package_of_links(root: Path) -> Place:
    """As `uv` installs with `--link-mode=symlink`."""
    place = build(root)
    packages = next((root / "environment" / "lib").glob("python*/site-packages"))
    store = root / "store" / "hash"
    (store / "late").mkdir(parents=True)
    (store / "late" / "__init__.py").write_text("from late.part import VALUE")
    (store / "late" / "part.py").write_text("VALUE = 'imported late'")
    (packages / "late.py").unlink()
    (packages / "late").mkdir()
    for name in ("__init__.py", "part.py"):
        (packages / "late" / name).symlink_to(store / "late" / name)
    place.keep_secret(root / "store" / SECRET)
    return place


def packages_link_to_the_course(root: Path) -> Place:
    place = build(root)
    packages = next((root / "environment" / "lib").glob("python*/site-packages"))
    for name, target in {"course": place.checkout, "everything": root, "exams": place.checkout / "autograder"}.items():
        (packages / name).symlink_to(target)
    return place


def installed_for_the_user(root: Path) -> Place:
    place = build(root)
    place.python = Path(sys.base_prefix) / "bin" / f"python{sysconfig.get_python_version()}"
    fill_packages(root / "user" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages")
    place.variables["PYTHONUSERBASE"] = str(root / "user")
    return place


def prefix_without_a_cfg(root: Path) -> Place:
    """As conda makes it: a Python of its own, here with links to the standard library; its prefix is a home folder."""
    place = build(root)
    version = f"python{sysconfig.get_python_version()}"
    prefix, base = root / "home", Path(sys.base_prefix)
    (prefix / "bin").mkdir()
    place.python = Path(shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / version))
    (prefix / "lib" / version).mkdir(parents=True)
    for entry in (base / "lib" / version).iterdir():
        if entry.name != "site-packages":
            (prefix / "lib" / version / entry.name).symlink_to(entry)
    for library in (base / "lib").glob("libpython*"):
        shutil.copy(library, prefix / "lib" / library.name)
    for name in ("site-packages", "dist-packages"):  # the second is Debian's
        fill_packages(prefix / "lib" / version / name)
    return place


def course_elsewhere_in_the_environment(root: Path) -> Place:
    place = build(root)
    place.hidden = [root / "environment" / "share" / "course"]
    place.keep_secret(place.hidden[0] / "gradebook.db", place.hidden[0] / "deep" / SECRET)
    return place


LAYOUTS = {
    "environment is a link": environment_is_a_link,
    "environment is a link in the checkout": environment_is_a_link_in_the_checkout,
    "parent is a link": parent_is_a_link,
    "checkout is a link": checkout_is_a_link,
    "photos are links": photos_are_links,
    "photo is in the cache": photo_is_in_the_cache,
    "environment in the checkout": environment_in_the_checkout,
    "checkout is the environment": checkout_is_the_environment,
    "checkout in the environment": checkout_below("src"),
    "checkout among its libraries": checkout_below("lib"),
    "checkout among its packages": checkout_below("lib", f"python{sysconfig.get_python_version()}", "site-packages"),
    "checkout in what it shares": checkout_below("share"),
    "mirror holds everything": mirror_holds_everything,
    "cache holds everything": cache_holds_everything,
    "search path holds everything": search_path_holds_everything,
    "package of links": package_of_links,
    "packages link to the course": packages_link_to_the_course,
    "installed for the user": installed_for_the_user,
    "prefix without a cfg": prefix_without_a_cfg,
    "course elsewhere in the environment": course_elsewhere_in_the_environment,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_contains_what(layout: str, tmp_path: Path) -> None:
    assert seen_by(LAYOUTS[layout](tmp_path / "machine")) == expected()


# How the grader is started


def through_shell(line: str) -> tuple[str, ...]:
    return ("sh", "-c", f'{line} "$@"', "sh")


STARTS: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "closed input": (("sh", "-c", 'exec "$@" <&-', "sh"), {}),
    "closed input and errors": (("sh", "-c", 'exec "$@" <&- 2>&-', "sh"), {}),
    "umask 077": (through_shell("umask 077; exec"), {}),
    "umask 0": (through_shell("umask 0; exec"), {}),
    "few descriptors": (through_shell("ulimit -n 64; exec"), {}),
    "a soft limit on descriptors": (through_shell("ulimit -Sn 20; exec"), {}),
    "no home": (("env", "-u", "HOME"), {}),
    "a home that is not there": ((), {"HOME": "/nowhere"}),
    "a read-only home": ((), {"HOME": "/proc"}),
    "language C": ((), {"LC_ALL": "C", "LANG": "C"}),
    "language POSIX": ((), {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}),
}


@pytest.mark.parametrize("start", STARTS)
def test_however_the_grader_is_started(start: str, tmp_path: Path) -> None:
    place = build(tmp_path / "umläut")
    place.start, variables = STARTS[start]
    if "LC_ALL" in variables and not sys.prefix.isascii():
        pytest.skip("Python itself does not start in an environment whose path has an umlaut, where the language is C")
    place.variables |= variables
    place.files = tmp_path / "submission"
    place.files.mkdir()
    for number in range(100):
        (place.files / f"{number}.txt").write_text(str(number))
    assert seen_by(place) == expected(files={f"{number}.txt": str(number) for number in range(100)})


def test_too_few_descriptors_are_refused_in_one_sentence(tmp_path: Path) -> None:
    place = build(tmp_path)
    place.start = through_shell("ulimit -n 40; exec")
    refused = place.look()["refused"]
    assert "40 files" in refused and "ulimit -n 1024" in refused and "\n" not in refused


def test_files_do_not_get_into_what_stands_in_the_home(tmp_path: Path) -> None:
    """The environment may stand below the sandbox's home; a link in it must not be followed while files are copied."""
    home = tmp_path / "root" / sandbox.HOME[1:]
    (home / "checkout").mkdir(parents=True)
    (home / "checkout" / "link").symlink_to(tmp_path)
    submission = tmp_path / "submission"
    (submission / "checkout" / "link").mkdir(parents=True)
    for path in ("checkout/link/planted", "checkout/planted", "mine/deep/file"):
        (submission / path).parent.mkdir(parents=True, exist_ok=True)
        (submission / path).write_text("text")
    copy_files(submission, home, Limits())
    assert [path for path in tmp_path.rglob("planted") if submission not in path.parents] == []
    assert (home / "mine" / "deep" / "file").read_text() == "text"


# Another user


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's submissions run as that user")
@pytest.mark.parametrize(
    "closed", ["checkout/data/weights.bin", "checkout/pset4", "environment/lib", "mirror/images/photo.jpg"]
)
def test_what_the_submission_s_user_cannot_read_is_refused_with_the_remedy(closed: str, tmp_path: Path) -> None:
    place = build(tmp_path)
    (tmp_path / closed).chmod(0o600 if (tmp_path / closed).is_file() else 0o700)
    refused = place.look()["refused"]
    assert f"cannot read {tmp_path / closed} " in refused and "\n" not in refused
    remedy = refused[refused.index("`") + 1 : refused.rindex("`")]
    assert remedy.startswith("chmod -R a+rX ") and str(tmp_path / "home") not in remedy
    subprocess.run(remedy, shell=True, check=True)
    assert seen_by(place) == expected()


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_an_ordinary_user_grades_under_umask_077(cleared: ExitStack) -> None:
    root = new_folder("/tmp", cleared)
    place = build(root)
    place.start = as_another_user(root)
    for path in root.rglob("*"):
        if not path.is_symlink():
            os.chown(path, ORDINARY, ORDINARY)
            path.chmod(0o700 if path.is_dir() or path.parent.name == "bin" else 0o600)
    os.chown(root, ORDINARY, ORDINARY)
    seen = seen_by(place)
    # Folders that only lead to what is shown are part of the sandbox's own /tmp; in a user namespace all is its own.
    seen["written"].remove(str(root))
    assert seen == expected()


ORDINARY = 54_321


def as_another_user(root: Path) -> tuple[str, ...]:
    """Starts a command as a user without a name, for whom the way to this Python is open."""
    base = Path(sys.base_prefix).resolve()
    closed = next((path for path in reversed(base.parents) if not path.stat().st_mode & 0o001), None)
    become = f"exec setpriv --reuid {ORDINARY} --regid {ORDINARY} --clear-groups"
    if closed is None:
        return ("sh", "-c", f'{become} "$@"', "sh")
    aside = root / "aside"
    aside.mkdir()
    steps = [
        ("mount", "--bind", base, aside),
        ("mount", "-t", "tmpfs", "-o", "mode=755", "none", closed),
        ("mkdir", "-p", base),
        ("mount", "--bind", aside, base),
    ]
    lines = "; ".join(shlex.join(map(str, step)) for step in steps)
    return ("unshare", "--mount", "sh", "-ec", f'{lines}; {become} "$@"', "sh")


# From the grader to the student's process


SESSION = """
import sys
from autograder.engine.grader.session import open_session
with open_session() as session:
    result = session.run_cell(sys.argv[1])
print(result.status, *(output.get("text", "") + output.get("evalue", "") for output in result.outputs))
"""
CELL = """
import late, torch.fft, scipy.linalg, scipy.signal, pset4.figures.photos, IPython.core.magics.script, os
from pset4 import load_model
from pset4.files.assets import fetch
for name in ("random", "standard", "robust", "standard_twin"):
    load_model(name, verbose=False)
print(late.VALUE, fetch("photo").read_bytes().decode(), [path for path in SECRETS if os.path.lexists(path)])
"""


def small_machine(root: Path) -> Place:
    place = build(root)
    shutil.rmtree(place.checkout / "data")
    shutil.copytree(REPOSITORY / "data", place.checkout / "data", ignore=shutil.ignore_patterns("*.png"))
    return place


@pytest.mark.parametrize("user", ["this one", "another"] if IS_ROOT else ["this one"])
def test_a_student_s_cell_imports_late_and_loads_every_network(user: str, cleared: ExitStack) -> None:
    root = new_folder("/tmp", cleared) / "with space, umläut"
    place = small_machine(root)
    place.start = ("sh", "-c", 'umask 022; ulimit -n 128; exec "$@" <&-', "sh")
    if user == "another":
        for path in (root, *root.rglob("*")):
            os.chown(path, ORDINARY, ORDINARY, follow_symlinks=False)
        place.start = as_another_user(root) + place.start
    done = place.run(SESSION, CELL.replace("SECRETS", repr(list(map(str, place.secrets)))))
    assert done.stdout == f"ok imported late {PHOTO.decode()} []\n\n", done.stdout + done.stderr


# The rules by themselves

NAMES_OF_FOLDERS = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES_OF_FOLDERS, min_size=1, max_size=4).map(lambda names: Path("/nowhere", *names))


def what_stands_at(path: Path, steps: Sequence[Layer]) -> Path | None:
    around = [step for step in steps if step.place == path or step.place in path.parents]
    if not around or around[-1].source is None:
        return None
    return around[-1].source / path.relative_to(around[-1].place)


@given(shown=st.sets(PATHS, max_size=4), path=PATHS)
def test_what_is_shown_stands_where_it_is(shown: set[Path], path: Path) -> None:
    steps = layers({path: path for path in shown}, [])
    is_shown = any(other == path or other in path.parents for other in shown)
    assert what_stands_at(path, steps) == (path if is_shown else None)
    depths = [len(step.place.parts) for step in steps]
    assert depths == sorted(depths), "what lies inside comes later"


def test_the_course_is_cut_out_of_what_surrounds_it_under_every_name(tmp_path: Path) -> None:
    course = tmp_path / "lib" / "course"
    (course / "pset4").mkdir(parents=True)
    shown = {tmp_path / "lib": tmp_path / "lib", Path("/alias"): tmp_path / "lib", course / "pset4": course / "pset4"}
    steps = layers(shown, [course])
    for place in (course, Path("/alias/course")):
        assert what_stands_at(place / "autograder", steps) is None
    assert what_stands_at(course / "pset4" / "steps.py", steps) == course / "pset4" / "steps.py"
    assert what_stands_at(Path("/alias/other"), steps) == tmp_path / "lib" / "other"


def test_the_first_unreadable_file_is_found_and_compiled_files_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "package" / "__pycache__").mkdir(parents=True, mode=0o755)
    tmp_path.chmod(0o755)
    (tmp_path / "package" / "__pycache__").chmod(0o700)
    assert first_unreadable(tmp_path) is None
    (tmp_path / "package" / "module.py").touch(mode=0o600)
    assert first_unreadable(tmp_path) == tmp_path / "package" / "module.py"


# bubblewrap itself


def fake_bubblewrap(folder: Path, version: str, mode: int) -> Path:
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\necho bubblewrap {version}\n")
    path.chmod(mode)
    return path


@pytest.fixture
def path_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sandbox._bubblewrap.cache_clear()
    yield tmp_path
    sandbox._bubblewrap.cache_clear()


@pytest.mark.parametrize("version", ["0.8.0", "0.11.0", "0.11.1", "0.11"])
def test_an_old_setuid_bubblewrap_is_refused_by_name_and_remedy(version: str, path_of_programs: Path) -> None:
    path = fake_bubblewrap(path_of_programs, version, 0o4755)
    with pytest.raises(SandboxUnavailable) as refused:
        sandbox.check_available()
    for words in (str(path), version, "CVE-2026-41163", "0.11.2", f"chmod u-s {path}"):
        assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("version", "mode"), [("0.8.0", 0o755), ("0.11.1", 0o755), ("0.11.2", 0o4755), ("0.12.0", 0o4755), ("1.0", 0o4755)]
)
def test_other_versions_of_bubblewrap_are_fine(version: str, mode: int, path_of_programs: Path) -> None:
    fake_bubblewrap(path_of_programs, version, mode)
    sandbox.check_available()
