"""Write README.md from nbs/index.ipynb, with nbconvert, so that it needs no quarto and no network.

`nbdev_readme` does the same through quarto. Outputs stay as the notebook stores them; pictures among them are
written to nbs/images/ and linked from there. Usage: python scripts/make_readme.py
"""
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
NBS, IMAGES = ROOT / "nbs", ROOT / "nbs" / "images"
SITE = "https://birnn-iqa.github.io/birnn_iqa"


BADGES = """[![test](https://github.com/birnn-iqa/birnn_iqa/actions/workflows/test.yaml/badge.svg)](https://github.com/birnn-iqa/birnn_iqa/actions/workflows/test.yaml)
[![docs](https://github.com/birnn-iqa/birnn_iqa/actions/workflows/docs.yaml/badge.svg)](https://birnn-iqa.github.io/birnn_iqa)"""


def directives(cell):
    "The words after `#|` of a code cell's leading lines, e.g. `['hide']` or `['echo: false']`."
    return re.findall(r"^#\|\s*(.+?)\s*$", cell.source, flags=re.M) if cell.cell_type == "code" else []


def for_readers(nb):
    "Drop hidden cells and directive lines; keep what a reader of the site sees."
    shown = []
    for cell in nb.cells:
        marks = directives(cell)
        if any(m in ("hide", "include: false") or m.startswith(("default_exp", "colab")) for m in marks): continue
        if cell.cell_type == "code":
            cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip()
            if "echo: false" in marks: cell.source = ""
        shown.append(cell)
    nb.cells = shown
    nb.metadata["language_info"] = {"name": "python"}  # so that code is marked as Python
    return nb


def on_site(link):
    "A link to a notebook as a link to its page, where nbdev drops the leading number of a file's name"
    page = re.sub(r"(^|/)[0-9]+[a-z]?_", r"\1", link[1])
    return f"]({SITE}/{page}.html{link[2] or ''})"


def readme(path=NBS / "index.ipynb"):
    "The README's text, and its pictures by file name."
    nb = nbformat.read(path, as_version=4)
    marks_of = {cell.id: directives(cell) for cell in nb.cells}
    shown = for_readers(nb).cells
    config = Config({"ExtractOutputPreprocessor": {"enabled": True, "output_filename_template": "index_{cell_index}_{index}{extension}"}})
    text, resources = MarkdownExporter(config=config).from_notebook_node(nb)
    text = re.sub(r"^---\n.*?\n---\n", "", text.lstrip(), flags=re.S)
    text = re.sub(r"^```python\n\s*```\n", "", text, flags=re.M)
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.S)
    text = re.sub(r"\A(\s*# [^\n]+\n)", lambda m: f"{m[1]}\n{BADGES}\n", text, count=1)   # not on the site, whose pages load nothing from elsewhere
    text = re.sub(r"\]\((index_[\w.]+)\)", r"](nbs/images/\1)", text)
    text = re.sub(r"\]\(images/", "](nbs/images/", text)
    text = re.sub(r"\]\((?!https?:)([\w/]+)\.ipynb(#[\w.-]+)?\)", on_site, text)
    alternatives = iter([m[8:].strip().strip('"') for cell in shown for m in marks_of[cell.id] if m.startswith("fig-alt:")])
    text = re.sub(r"!\[png\]\(", lambda _: f"![{next(alternatives, 'figure')}](", text)
    text = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", resources.get("outputs", {})


if __name__ == "__main__":
    text, pictures = readme()
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.glob("index_*"):
        if old.name not in pictures: old.unlink()
    for name, data in pictures.items(): (IMAGES / name).write_bytes(data)
    banner = "<!-- Made from nbs/index.ipynb by scripts/make_readme.py: edit the notebook. -->\n\n"
    (ROOT / "README.md").write_text(banner + text, encoding="utf-8")
