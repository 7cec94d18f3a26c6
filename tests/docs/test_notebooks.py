"""The notebooks run from top to bottom, and hold what they give: running this file executes them
anew and writes their outputs."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples" / "notebooks").glob("*.ipynb"))
LARGEST = 100_000  # bytes of a notebook with its outputs


def read(path):
    return pytest.importorskip("nbformat", reason="nbformat is not installed").read(path, 4)


def execute(path):
    """The notebook, run in its own folder."""
    from nbclient import NotebookClient

    notebook = read(path)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":  # what runs say on stderr names temporary folders
            cell.outputs = [x for x in cell.outputs if x.output_type != "stream"]
    return notebook


def results(notebook):
    """The text of what each code cell gives; of pictures only that there is one."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield [
                "a picture" if "image/png" in x.data else x.data["text/plain"] for x in cell.outputs
            ]


def test_there_are_two_notebooks():
    assert [path.name for path in NOTEBOOKS] == ["models.ipynb", "scan.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_holds_the_result_of_every_cell(path):
    assert path.stat().st_size < LARGEST
    assert all(results(read(path)))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_it_shows(path):
    pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    assert list(results(execute(path))) == list(results(read(path)))


if __name__ == "__main__":
    import nbformat

    for path in NOTEBOOKS:
        nbformat.write(execute(path), path)
