"""Notebooks as Colab, VS Code and Kaggle write them are graded like those that Jupyter writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.commands.sample_class import MEMBERS, fill_in
from autograder.course.contract import NOTEBOOKS
from autograder.engine.grader.rebuild import Rebuilt, read_submission, rebuild

Notebook = dict[str, Any]
Editor = Callable[[Notebook], None]


def colab(notebook: Notebook) -> None:
    """A badge on top, ids in the metadata, outputs with Colab's own keys; the form's title is kept."""
    notebook["nbformat_minor"] = 0
    notebook["metadata"] |= {
        "colab": {"provenance": [], "include_colab_link": True, "generative_ai_disabled": True, "gpuType": "T4"},
        "accelerator": "GPU",
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
    }
    for number, cell in enumerate(notebook["cells"]):
        cell.pop("id")
        cell["metadata"] = {"id": f"a{number}Bc_"} | cell["metadata"]
        if cell["cell_type"] == "code":
            cell["execution_count"] = number
            cell["metadata"] |= {"colab": {"base_uri": "https://localhost:8080/", "height": 35}, "outputId": "0-1-2"}
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["ready\n"]}]
    badge = '<a href="https://colab.research.google.com/github/x/y/blob/main/z.ipynb" target="_parent"><img/></a>'
    about = {"id": "view-in-github", "colab_type": "text"}
    notebook["cells"].insert(0, {"cell_type": "markdown", "metadata": about, "source": [badge]})


def colab_without_marks(notebook: Notebook) -> None:
    """The same, after all cells were copied into a new notebook: Colab takes the text alone along."""
    colab(notebook)
    for cell in notebook["cells"]:
        cell["metadata"] = {"id": cell["metadata"]["id"]}


def vs_code(notebook: Notebook) -> None:
    """Languages at the cells, Windows' line ends, and no kernel until one is chosen."""
    notebook["metadata"] = {"language_info": {"name": "python", "version": "3.12.1", "mimetype": "text/x-python"}}
    for cell in notebook["cells"]:
        cell["metadata"]["vscode"] = {"languageId": "python" if cell["cell_type"] == "code" else "markdown"}
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n").splitlines(keepends=True)


def kaggle(notebook: Notebook) -> None:
    """Sources as one text, ids of its own, and when a cell was run."""
    notebook["nbformat_minor"] = 4
    notebook["metadata"] |= {
        "kaggle": {"accelerator": "none", "dataSources": [], "isGpuEnabled": False},
        "papermill": {},
    }
    for number, cell in enumerate(notebook["cells"]):
        cell.pop("id")
        cell["source"] = "".join(cell["source"])
        cell["metadata"] |= {"_uuid": f"8f2839f2{number:08x}", "_cell_guid": f"b1076dfc-{number}", "trusted": True}
        if cell["cell_type"] == "code":
            cell["metadata"]["execution"] = {"iopub.execute_input": "2030-01-01T00:00:00.000000Z"}
            cell["outputs"] = []


@pytest.fixture(scope="module", params=NOTEBOOKS)
def template(released: Path, request: pytest.FixtureRequest) -> Notebook:
    return nbformat.read(released / f"{request.param}.ipynb", as_version=4)


def answered(template: Notebook) -> Notebook:
    """The notebook of somebody who has answered all, as it stands in a file."""
    notebook = fill_in(copy.deepcopy(template), MEMBERS[0])
    return json.loads(nbformat.writes(nbformat.from_dict(notebook)))


def taken(template: Notebook, notebook: Notebook) -> Rebuilt:
    return rebuild(template, read_submission(json.dumps(notebook).encode()))


def course_cells(rebuilt: Rebuilt) -> list[str]:
    """The texts of the course's cells and of the answers, in order."""
    cells = rebuilt.notebook["cells"]
    return [cell["source"].strip() for cell in cells if cell["metadata"]["pset4"]["origin"] != "student"]


@pytest.mark.parametrize("editor", [colab, colab_without_marks, vs_code, kaggle])
def test_the_same_answers_are_taken(template: Notebook, editor: Editor) -> None:
    plain, other = answered(template), answered(template)
    editor(other)
    expected, found = taken(template, plain), taken(template, other)
    assert course_cells(found) == course_cells(expected)
    assert not found.not_taken
    assert not found.lost_names


@pytest.mark.parametrize("editor", [colab, colab_without_marks, vs_code, kaggle])
def test_what_was_released_stays_unanswered(template: Notebook, editor: Editor) -> None:
    notebook = json.loads(nbformat.writes(nbformat.from_dict(copy.deepcopy(template))))
    editor(notebook)
    found = taken(template, notebook)
    assert course_cells(found) == [cell["source"].strip() for cell in template["cells"]]
    assert not found.not_taken
