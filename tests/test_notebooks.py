"""What every notebook owes its reader, and the site that is built from it."""
import ast
import json
import re
import sys
from pathlib import Path

import pytest

NBS = Path(__file__).parents[1] / "nbs"
NOTEBOOKS = sorted(p for p in NBS.rglob("*.ipynb") if not any(part.startswith((".", "_")) for part in p.relative_to(NBS).parts))


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: str(p.relative_to(NBS)))
def cells(request):
    return [{**c, "source": "".join(c["source"])} for c in json.loads(request.param.read_text(encoding="utf-8"))["cells"]]


def code(cells): return [c for c in cells if c["cell_type"] == "code"]


def test_begins_with_a_title_and_a_line_that_sells_it(cells):
    first = cells[0]["source"]
    assert cells[0]["cell_type"] == "markdown" and re.match(r"(---\n.*?\n---\n)?\s*# .+\n+> [^$\n]+", first, flags=re.S), first


def test_imports_stand_alone(cells):
    "The site's build runs the cells that import, and nothing else may happen in them."
    for cell in code(cells):
        source = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in cell["source"].splitlines())
        if "#| hide" in source and "nbdev" in source: continue
        body = ast.parse(source).body
        imports = [isinstance(node, (ast.Import, ast.ImportFrom)) for node in body]
        others = [node for node, is_import in zip(body, imports) if not is_import and not isinstance(node, ast.Expr)]
        calls = [node for node in body if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)]
        assert not any(imports) or not (others or calls), f"imports and other code share a cell:\n{cell['source']}"


def test_figures_have_alternative_text(cells):
    for cell in code(cells):
        draws = any("image/png" in o.get("data", {}) for o in cell["outputs"])
        assert not draws or "#| fig-alt:" in cell["source"] or "#| hide" in cell["source"], f"a figure without `#| fig-alt:`:\n{cell['source']}"


def test_outputs_are_fit_to_show(cells):
    for cell in code(cells):
        text = json.dumps(cell["outputs"])
        assert not any(o.get("name") == "stderr" for o in cell["outputs"]), f"stderr in the output of:\n{cell['source']}"
        assert not re.search(r"/(home|root|tmp|work|Users)/[\w.-]", re.sub(r'"image/png": "[^"]*"', "", text)), f"a path of a machine in the output of:\n{cell['source']}"
        assert len(text) < 900_000, f"an output of {len(text) // 1000} kB:\n{cell['source'][:200]}"


def test_numbers_are_shown_as_numbers(cells):
    for cell in code(cells):
        for output in cell["outputs"]:
            text = "".join(output.get("data", {}).get("text/plain", ""))
            assert not re.search(r"\bnp\.(float|int)\d+\(", text), f"{text[:80]}: NumPy's own name of a number, in the output of:\n{cell['source']}"


def test_definitions_are_shown(cells):
    "`#| export` hides a cell's code on the site; `#| exports` shows it beside its documentation."
    hidden = [c["source"] for c in code(cells) if re.search(r"^#\|\s*export\s*$", c["source"], flags=re.M) and "#| hide" not in c["source"]]
    assert not hidden, f"write `#| exports`, or the reader never sees:\n{hidden[0]}"


def test_course_pages_say_where_one_stands_and_end_with_exercises():
    sys.path.insert(0, str(NBS.parent / "scripts"))
    import colab
    path = colab.course()
    assert len(path) == len(set(path)) > 8
    for notebook in path:
        text = (NBS / notebook).read_text(encoding="utf-8")
        assert colab.updated(notebook, path) == text, f"{notebook}: run scripts/colab.py"
        prose = ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown"]
        assert "xercises" in prose[-1] and "<summary>Solutions" in prose[-1], f"{notebook}: its last cell has no exercises with hidden solutions"
