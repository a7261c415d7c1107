"""What a student's own Jupyter runs does not stop a cell while grading: magics, widgets, backends, things installed."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.engine.grader.launcher import Warm
from autograder.engine.grader.session import CellResult, Session, open_session


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grader's home folder, which holds things that could mislead a submission."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".config" / "matplotlib").mkdir(parents=True)
    (folder / ".config" / "matplotlib" / "matplotlibrc").write_text("backend: TkAgg\nlines.linewidth: 17\n")
    (folder / ".ipython" / "profile_default" / "startup").mkdir(parents=True)
    (folder / ".ipython" / "profile_default" / "startup" / "first.py").write_text("raise RuntimeError('startup')")
    return folder


@pytest.fixture(scope="module")
def warm(home: Path) -> Iterator[Warm]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        process = Warm()
    yield process
    process.close()


@pytest.fixture
def session(warm: Warm) -> Iterator[Session]:
    with open_session(warm=warm) as session:
        yield session


def shown(result: CellResult) -> str:
    return "".join(
        output.get("text", "") + output.get("evalue", "") + output.get("data", {}).get("text/plain", "")
        for output in result.outputs
    )


def kinds(result: CellResult) -> set[str]:
    return {kind for output in result.outputs for kind in output.get("data", {})}


TOLERATED = {
    "widget": "%matplotlib widget",
    "notebook": "%matplotlib notebook",
    "ipympl": "%matplotlib ipympl",
    "qt": "%matplotlib qt",
    "tk": "%matplotlib tk",
    "no name": "%matplotlib",
    "inline": "%matplotlib inline",
    "two kinds": "%matplotlib qt\n%matplotlib inline\n%matplotlib osx",
    "pylab": "%pylab inline",
    "use": "import matplotlib\nmatplotlib.use('TkAgg')\nmatplotlib.use('nbagg', force=True)\nmatplotlib.use('QtAgg')",
    "switch_backend": "import matplotlib.pyplot as plt\nplt.switch_backend('module://ipympl.backend_nbagg')",
    "pip in the shell": "!pip install no-such-package-of-ours",
    "pip magic": "%pip install -q no-such-package-of-ours",
    "installed already": "!pip install numpy",
    "conda": "%conda install -y numpy",
    "mamba": "%mamba install numpy",
    "uv": "%uv pip install numpy",
    "apt": "!apt-get install -qq graphviz",
    "git": "!git clone https://example.org/x.git && cd x",
    "autoreload": "%load_ext autoreload\n%autoreload 2",
    "store": "kept = 5\n%store kept\n%store -r",
    "cd": "%cd /tmp\n%cd -\n%pwd",
    "env": "%env COLOUR=blue",
    "timeit": "%timeit -n 1 -r 1 sum([1, 2])",
    "time of a line": "%time x = 1",
    "retina": "%config InlineBackend.figure_format = 'retina'",
    "svg": "%config InlineBackend.figure_formats = ['svg']",
    "interactivity": "from IPython.core.interactiveshell import InteractiveShell\n"
    "InteractiveShell.ast_node_interactivity = 'all'",
    "config": "%config Completer.use_jedi = False",
    "precision": "%precision 3",
    "history": "%history",
    "who": "%who\n%whos",
    "colab's tables": "%load_ext google.colab.data_table\n%unload_ext google.colab.data_table",
    "colab's versions": "%tensorflow_version 2.x",
    "colab's shell": "%shell ls",
    "tensorboard": "%load_ext tensorboard\n%tensorboard --logdir runs",
    "profilers": "%load_ext line_profiler\n%load_ext memory_profiler\n%memit 1 + 1",
    "reload of what is not there": "%reload_ext no_such_extension",
    "HTML": "from IPython.display import HTML, Image, Javascript, Markdown, clear_output\n"
    "display(HTML('<b>bold</b>'), Markdown('*x*'), Javascript('1'))\nclear_output(wait=True)",
    "tqdm": "from tqdm.notebook import tqdm, trange\nfor _ in tqdm(range(3)): pass\nfor _ in trange(2): pass",
    "automatic tqdm": "from tqdm.auto import tqdm\nwith tqdm(total=2) as bar: bar.update(2)",
    "interact": "from ipywidgets import interact, interactive, fixed\n"
    "interact(lambda x: x, x=(0, 3))\n@interact(y=2.0, z=fixed(1))\ndef shown(y, z): print(y)",
    "widgets": "import ipywidgets as w\nbox = w.VBox([w.Button(), w.IntSlider()])\ndisplay(box)\n"
    "box.children[1].observe(print)\nout = w.Output()\nwith out: print('in the widget')",
    "latex and style": "import matplotlib.pyplot as plt\nplt.style.use('ggplot')\nplt.rcParams['figure.dpi'] = 50",
    "animation": "from matplotlib import animation, rc\nrc('animation', html='jshtml')",
    "interactive mode": "import matplotlib.pyplot as plt\nplt.ion(); plt.ioff(); plt.close('all')",
    "warnings": "import warnings\nwarnings.filterwarnings('ignore')\nimport logging\nlogging.basicConfig()",
    "own folder in the home": "from pathlib import Path\n(Path.home() / '.cache' / 'mine').mkdir(parents=True)",
    "torch's folder": "import torch\nopen_ = torch.hub.get_dir()\nimport os; os.makedirs(open_)",
    "magic in Python": "get_ipython().run_line_magic('matplotlib', 'widget')\n"
    "get_ipython().run_line_magic('load_ext', 'nothing_of_the_kind')",
    "shell in Python": "get_ipython().system('true')\nlines = get_ipython().getoutput('echo 1')",
}


@pytest.mark.parametrize("name", TOLERATED)
def test_the_rest_of_the_cell_runs(session: Session, name: str) -> None:
    result = session.run_cell(f"{TOLERATED[name]}\ndef answer(x): return 2 * x\n")
    assert result.status == "ok", shown(result)
    assert shown(session.run_cell("print(answer(21))")) == "42\n"


CELL_MAGICS = (
    *(
        "%%time",
        "%%timeit -n 1 -r 1\n1",
        "%%capture",
        "%%capture out --no-stderr",
        "%%prun",
        "%%memit",
        "%%measure_time",
    ),
    *("%%heat", "%%wandb", "%%snakeviz -t"),
)


@pytest.mark.parametrize("magic", CELL_MAGICS)
def test_an_answer_below_a_cell_magic_counts(session: Session, magic: str) -> None:
    result = session.run_cell(f"{magic}\nimport math\ndef answer(x):\n    return 2 * x\n")
    assert result.status == "ok", shown(result)
    if not magic.startswith(("%%timeit", "%%prun")):
        assert shown(session.run_cell("print(answer(21))")) == "42\n"


@pytest.mark.parametrize(
    "magic", ["%%bash", "%%sh", "%%html", "%%javascript", "%%markdown", "%%latex", "%%shell", "%%bigquery x"]
)
def test_a_cell_in_another_language_does_no_harm(session: Session, magic: str) -> None:
    result = session.run_cell(f'{magic}\necho "it\'s" | cat; for x in y')
    assert session.alive and "not found" not in shown(result)
    assert shown(session.run_cell("print(1)")) == "1\n"


def test_an_error_below_an_unknown_cell_magic_is_the_cell_s(session: Session) -> None:
    assert session.run_cell("%%memit\n1 / 0").status == "error"


def test_what_fails_in_jupyter_fails_here(session: Session) -> None:
    assert session.run_cell("%timeit -q no_such_name").status == "error"
    assert session.run_cell("import no_such_module").status == "error"
    assert session.run_cell("import matplotlib\nmatplotlib.use('no such backend')").status == "error"


@pytest.mark.parametrize(
    "line", ["", "%matplotlib widget", "%matplotlib notebook", "%matplotlib qt", "%matplotlib inline"]
)
def test_figures_stay_below_their_cells(session: Session, line: str) -> None:
    session.run_cell(f"{line}\nimport matplotlib\nmatplotlib.use('nbagg')\nimport matplotlib.pyplot as plt")
    result = session.run_cell("plt.plot([1, 2])\nplt.show()")
    assert kinds(result) & {"image/png", "image/jpeg"}, shown(result)


def test_a_module_that_was_written_in_a_cell_is_imported(session: Session) -> None:
    assert session.run_cell("%%writefile helper.py\ndef double(x):\n    return 2 * x\n").status == "ok"
    result = session.run_cell("%load_ext autoreload\n%autoreload 2\nimport helper\nprint(helper.double(4))")
    assert shown(result) == "8\n"


def test_stored_variables_come_back_and_lie_in_the_sandbox_s_home(session: Session) -> None:
    session.run_cell("kept = [1, 2]\n%store kept\ndel kept\n%store -r kept")
    assert shown(session.run_cell("print(kept, get_ipython().profile_dir.location)")) == (
        "[1, 2] /home/student/.ipython/profile_default\n"
    )


def test_libraries_keep_their_folders_in_the_sandbox_s_home(session: Session, home: Path) -> None:
    source = """
import matplotlib, os, tempfile, IPython.paths, pathlib, torch, matplotlib.pyplot as plt
print(os.listdir(), [path for path in pathlib.Path("/tmp").iterdir() if path.is_file()])
print(matplotlib.get_configdir(), matplotlib.get_cachedir(), IPython.paths.get_ipython_dir(), pathlib.Path.home())
print(tempfile.gettempdir(), torch.hub.get_dir(), plt.rcParams["lines.linewidth"])
print([name for name, value in os.environ.items() if HOME in value], os.path.exists(HOME))
""".replace("HOME", repr(str(home)))
    folder = "/home/student/.config/matplotlib"
    assert shown(session.run_cell(source)) == (
        f"[] []\n{folder} {folder} /home/student/.ipython /home/student\n/tmp /home/student/.cache/torch/hub 1.5\n"
        "[] False\n"
    )


def test_input_says_that_nobody_answers(session: Session) -> None:
    for source in ("input('name? ')", "import getpass; getpass.getpass()"):
        result = session.run_cell(source)
        assert result.status == "error" and "nobody is there to answer" in shown(result), shown(result)


# The start of the warm process


@pytest.mark.parametrize("ending", ["close", "kill the grader", "close at once"])
def test_the_warm_process_leaves_no_folder_behind(ending: str, tmp_path: Path) -> None:
    """The grader's home stays as it was, and so does the folder of temporary files."""
    home, temporary = tmp_path / "home", Path(tempfile.gettempdir())
    home.mkdir()
    program = f"""
        import os, signal
        from autograder.engine.grader.launcher import Warm
        warm = Warm()
        if {ending!r} != 'close at once': warm.wait_until_ready()
        print(warm.process.pid, flush=True)
        if {ending!r} == 'kill the grader': os.kill(os.getpid(), signal.SIGKILL)
        warm.close()
        """
    before = {path.name for path in temporary.glob("pset4-*")}
    command = [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())]
    done = subprocess.run(command, env=os.environ | {"HOME": str(home)}, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    wait_for_end(pid)
    assert [str(path) for path in home.rglob("*")] == []
    left = {path.name for path in temporary.glob("pset4-*") if f"pset4-{pid}-" in path.name}
    assert left - before == set()


def wait_for_end(pid: int) -> None:
    """Waits for a process that is not a child of this one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(handle) as process:
        assert select.select([process], [], [], 60)[0], "the warm process ends when its grader is gone"
