"""Build the documentation site offline, without quarto: python scripts/build_site.py [OUT]  (default: _docs).

GitHub's workflow builds the site with `nbdev_docs`, which needs quarto. This script stages the notebooks with the
same functions of nbdev, in a temporary copy of the repository so that the tree stays as it is, and renders them with
smalldocs, which reads the same `_quarto.yml`. Formulas become MathML here, as `html-math-method: mathml` has it
there, so that no page loads anything from elsewhere.
"""
import argparse
import html
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".git", ".github", ".venv", "venv", "_proc", "_docs", "_site", "build", "dist", "runs", "features",
                                  "__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".hypothesis", "*.egg-info", "*.tmp")
STAGE = """
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.doclinks import _build_modidx
from nbdev.serve import proc_nbs
refresh_quarto_yml(); _build_modidx(); nbdev_sidebar.__wrapped__()
proc_nbs(n_workers=0, force=True)
"""


class SiteError(RuntimeError):
    "The site could not be built; the message has the failing step's own words."


def run(command, cwd):
    "Run one step, and show what it said when it fails."
    env = {**os.environ, "PYTHONPATH": str(cwd), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode: raise SiteError(f"{' '.join(command[:4])} failed with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stderr


def stage(tree):
    "The folder of notebooks as nbdev hands them to a renderer: documented, linked, their hidden cells gone."
    run([sys.executable, "-c", STAGE], tree)
    return tree / "_proc"


def output_file(nb):
    "The file name that nbdev chose for the page, e.g. `images.html` for 00_images.ipynb; None where it chose none."
    first = nb["cells"][0]
    found = re.search(r"^output-file:\s*(\S+)", "".join(first["source"]), flags=re.M) if first["cell_type"] == "raw" else None
    return found and found[1]


def rename_pages(staged):
    "Give staged notebooks the names that their pages will have, in links too: quarto does so by `output-file`, smalldocs not."
    names = {}
    for path in sorted(staged.rglob("*.ipynb")):
        new = path.with_name(Path(output_file(json.loads(path.read_text(encoding="utf-8"))) or path.name).stem + ".ipynb")
        names[path.name] = new.name
        path.rename(new)
    target = re.compile(r"(?<![\w.-])(" + "|".join(map(re.escape, names)) + r")(?![\w-])")
    for path in [*staged.rglob("*.ipynb"), staged / "_quarto.yml", *staged.glob("sidebar.yml")]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            nb = json.loads(text)
            for cell in nb["cells"]:
                if cell["cell_type"] != "markdown": continue
                cell["source"] = re.sub(r"\]\((?!https?:)([^)\s]+)", lambda m: "](" + target.sub(lambda n: names[n[1]], m[1]), "".join(cell["source"]))
            text = json.dumps(nb, ensure_ascii=False)
        else: text = target.sub(lambda m: names[m[1]], text)
        path.write_text(text, encoding="utf-8")
    return names


def mathml(page):
    "A page's formulas as MathML, which browsers draw by themselves, and without the scripts that would have drawn them."
    from latex2mathml.converter import convert
    def formula(found):
        display = "block" if found[1] == "display" else "inline"
        tex = html.unescape(found[2].strip()[2:-2]).replace('{aligned}', '{align*}')   # the same layout, by the name that latex2mathml knows
        return f'<span class="math {found[1]}">{convert(tex, display=display)}</span>'
    page = re.sub(r'<span class="math (inline|display)">(.*?)</span>', formula, page, flags=re.S)
    page = re.sub(r'\s*<link[^>]*katex[^>]*>', "", page)
    return re.sub(r'\s*<script[^>]*katex[^>]*>\s*</script>', "", page)


def local_links(page, where, site_url):
    "Links to the published site that nbdev put behind names in backticks, as links to the page beside this one."
    up = posixpath.relpath(".", posixpath.dirname(where) or ".")
    return re.sub(rf'(<a\b[^>]*\bhref="){re.escape(site_url)}/([^"]*)"', lambda m: f'{m[1]}{posixpath.normpath(posixpath.join(up, m[2].partition("#")[0] or "index.html"))}'
                  + (f'#{m[2].partition("#")[2]}' if "#" in m[2] else "") + '"', page)


def plain_code(page):
    "Signatures without the Markdown links that nbdev writes behind names in their comments, where no renderer reads Markdown."
    return re.sub(r"\[(`[^`\]]+`)\]\(https?://[^\s()<]+\)", r"\1", page)


def build(out, root=ROOT):
    "Build the site of the repository `root` into the folder `out`, replacing what was there; returns the renderer's warnings."
    out = Path(out).resolve()
    with tempfile.TemporaryDirectory(prefix="birnn-iqa-site-") as tmp:
        tree = Path(tmp).resolve() / "birnn_iqa"
        shutil.copytree(root, tree, ignore=LEFT_OUT)
        staged = stage(tree)
        rename_pages(staged)
        warnings = run([sys.executable, "-m", "smalldocs.cli", "render", str(staged), "--quiet"], staged)
        config = (staged / "nbdev.yml").read_text(encoding="utf-8")
        site, made = re.search(r'site-url:\s*"?([^"\s]+?)/?"?\s*$', config, flags=re.M)[1], staged / "_docs"
        for page in made.rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            page.write_text(plain_code(local_links(mathml(text), page.relative_to(made).as_posix(), site)), encoding="utf-8")
        if out.exists(): shutil.rmtree(out)
        shutil.copytree(made, out)
    return [line.removeprefix("warning: ") for line in warnings.splitlines() if line.startswith("warning: ")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", default=ROOT / "_docs", help="folder of the site; what it held is replaced")
    parser.add_argument("--mend", action="store_true", help="build nothing; take what is no code out of the code of the pages that `nbdev_docs` left in `out`")
    args = parser.parse_args()
    if args.mend:
        for page in Path(args.out).rglob("*.html"): page.write_text(plain_code(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        for warning in build(args.out): print(warning, file=sys.stderr)
