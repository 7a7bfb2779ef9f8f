"""Give every notebook its place on the course's path and a first cell that installs the package in Colab.

    python scripts/colab.py           # write what is missing or out of date
    python scripts/colab.py --check   # say which notebooks would change; exit code 1 if any

Running it again changes nothing. The two cells are put behind the title cell and are known by their ids. The cell that
installs is hidden on the site, not run by nbdev_test (`eval: false`) and does nothing outside Colab.
"""
import argparse
import json
import os
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
REPO = "birnn-iqa/birnn_iqa"
INSTALL = f'''#| hide
#| eval: false
![ -e /content ] && pip install -q "birnn-iqa[fast] @ git+https://github.com/{REPO}"'''
METHOD = ("picture", "patches", "CNN", "features of each patch", "Bi-RNN", "attention", "score")
ABOUT = {"01_image_quality": ("score",), "01_patches": ("picture", "patches"), "01b_convolution": ("CNN", "features of each patch"),
         "06_backbones": ("CNN", "features of each patch"), "02_not_one_vector": ("features of each patch",), "08_head": ("Bi-RNN", "attention", "score"),
         "02b_learning": ("score",), "11_training": ("Bi-RNN", "attention", "score"), "02_metrics": ("score",), "05_nss": ("picture", "score"),
         "12_scoring": METHOD, "03_limits": METHOD}
PATH_ID, INSTALL_ID = "where-you-are", "colab-install"


def course():
    "Notebooks on the path, in order, as the sidebar lists them."
    sidebar = yaml.safe_load((NBS / "_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    return next(part["contents"] for part in sidebar if part.get("section") == "The course")


def title(notebook):
    "A notebook's title, without its code marks."
    cells = json.loads((NBS / notebook).read_text(encoding="utf-8"))["cells"]
    return re.search(r"^#\s+(.+?)\s*$", "".join(cells[0]["source"]), flags=re.M)[1].replace("`", "")


def link(here, there): return f"[{title(there)}]({Path(os.path.relpath(NBS / there, (NBS / here).parent)).as_posix()})"


def where_you_are(notebook, path):
    "The line that says where one stands, and opens the notebook in Colab."
    colab = f"[open in Colab](https://colab.research.google.com/github/{REPO}/blob/main/nbs/{notebook})"
    if notebook not in path: return f"*Beside [the course]({Path(os.path.relpath(NBS / path[0], (NBS / notebook).parent)).as_posix()})* · {colab}"
    i = path.index(notebook)
    before, after = ([link(notebook, path[i - 1])] if i else []), ([link(notebook, path[i + 1])] if i + 1 < len(path) else [])
    steps = [f"*The course, step {i + 1} of {len(path)}*", *(f"before: {b}" for b in before), *(f"next: {a}" for a in after), colab]
    return " · ".join(steps) + f"\n\n{figure(notebook)}"


def figure(notebook):
    "The method's figure as a line, with the part that the notebook is about in bold."
    here = ABOUT.get(Path(notebook).stem, ())
    return " → ".join(f"**{part}**" if part in here else part for part in METHOD)


def cell(kind, source, id):
    made = {"cell_type": kind, "id": id, "metadata": {}, "source": source.splitlines(keepends=True)}
    return made if kind == "markdown" else {**made, "execution_count": None, "outputs": []}


def split_title(cells):
    "nbdev makes the site's title from the whole first cell and drops what else is in it: move that to a cell of its own."
    source = "".join(cells[0]["source"])
    found = re.match(r"\s*#\s.+\n(?:\s*\n)*>.*(?:\n|$)", source)
    rest = source[found.end():].strip() if found else ""
    if not rest: return cells
    head = {**cells[0], "source": source[:found.end()].rstrip().splitlines(keepends=True)}
    return [head, cell("markdown", rest, "introduction"), *cells[1:]]


def updated(notebook, path):
    "A notebook's text with its two cells, as nbdev_clean would write it."
    nb = json.loads((NBS / notebook).read_text(encoding="utf-8"))
    cells = split_title([c for c in nb["cells"] if c.get("id") not in (PATH_ID, INSTALL_ID)])
    place = [] if notebook == "index.ipynb" else [cell("markdown", where_you_are(notebook, path), PATH_ID)]
    nb["cells"] = [cells[0], *place, cell("code", INSTALL, INSTALL_ID), *cells[1:]]
    return json.dumps(nb, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def notebooks(): return sorted(p.relative_to(NBS).as_posix() for p in NBS.rglob("*.ipynb") if not any(part.startswith((".", "_")) for part in p.relative_to(NBS).parts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a notebook would change")
    check, path, changed = parser.parse_args().check, course(), []
    for notebook in notebooks():
        new = updated(notebook, path)
        if new != (NBS / notebook).read_text(encoding="utf-8"):
            changed.append(notebook)
            if not check: (NBS / notebook).write_text(new, encoding="utf-8")
    for notebook in changed: print(f"{notebook}: {'would change' if check else 'written'}")
    sys.exit(1 if check and changed else 0)
