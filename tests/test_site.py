"""The site, built offline once: its pages, links, pictures, anchors and formulas."""
import ast
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

for needed in ("nbdev", "smalldocs", "latex2mathml"): pytest.importorskip(needed, reason=f"the site is built with {needed}: pip install -e '.[dev]'")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from build_site import build  # noqa: E402


class Page(HTMLParser):
    "What the tests ask of a page."

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads, self.pictures, self.formulas, self.prose, self.inside, self.math = set(), [], [], [], 0, [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        at = dict(attrs)
        if at.get("id"): self.ids.add(at["id"])
        if tag == "a" and "href" in at: self.links.append(at["href"])
        if tag == "img": self.pictures.append(at)
        if tag in ("img", "script", "iframe", "source") and at.get("src"): self.loads.append(at["src"])
        if tag == "link" and at.get("rel") in ("stylesheet", "icon", "preload"): self.loads.append(at["href"])
        if tag == "math": self.formulas += 1
        if tag == "span" and (at.get("class") or "").startswith("math "): self.math += 1
        if tag in ("pre", "code", "script", "style", "math"): self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag: self.inside.pop()

    def handle_data(self, data):
        if not self.inside: self.prose.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    warnings = build(out)
    return out, {p.relative_to(out).as_posix(): Page(p.read_text(encoding="utf-8")) for p in out.rglob("*.html")}, warnings


def notebooks():
    nbs = ROOT / "nbs"
    return [p.relative_to(nbs) for p in sorted(nbs.rglob("*.ipynb")) if not any(part.startswith((".", "_")) for part in p.relative_to(nbs).parts)]


def page_of(notebook): return notebook.with_name(re.sub(r"^\d+[a-z]?_", "", notebook.stem) + ".html").as_posix()


def test_every_notebook_has_a_page(site):
    pages = site[1]
    assert {page_of(n) for n in notebooks()} <= set(pages)
    assert all("".join(page.prose).strip() for page in pages.values())


def test_no_link_is_broken_and_nothing_is_missing(site):
    out, pages, warnings = site
    broken = [w for w in warnings if "broken link" in w]
    for where, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc: continue
            path = (out / where).parent / unquote(parts.path) if parts.path else out / where
            path = path / "index.html" if path.is_dir() else path
            if not path.exists(): broken.append(f"{where}: {link}: no such file")
            elif parts.fragment and path.suffix == ".html" and unquote(parts.fragment) not in pages[path.resolve().relative_to(out.resolve()).as_posix()].ids:
                broken.append(f"{where}: {link}: no such place on that page")
    assert not broken, "\n".join(broken)


def test_nothing_is_loaded_from_elsewhere(site):
    foreign = {f"{where}: {link}" for where, page in site[1].items() for link in page.loads if urlsplit(link).scheme in ("http", "https") or link.startswith("//")}
    assert not foreign


def test_every_exported_symbol_has_an_anchor(site):
    missing = []
    for notebook in notebooks():
        module = ROOT / "birnn_iqa" / Path(page_of(notebook)).with_suffix(".py").name
        if notebook.parts[0] != "api" or not module.exists(): continue
        body = ast.parse(module.read_text(encoding="utf-8")).body
        public = next((set(ast.literal_eval(n.value)) for n in body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"), set())
        defined = {n.name for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in public}
        missing += [f"{module.stem}.{name}" for name in sorted(defined) if not {name, name.lower()} & site[1][page_of(notebook)].ids]
    assert not missing


def test_figures_have_alternative_text(site):
    bare = [f"{where}: {(picture.get('src') or '')[:60]}" for where, page in site[1].items() for picture in page.pictures if not (picture.get("alt") or "").strip()]
    assert not bare, "\n".join(bare)


def test_formulas_are_drawn_without_a_network(site):
    out, pages, _ = site
    assert sum(page.formulas for page in pages.values()) > 20
    for where, page in pages.items():
        assert page.formulas == page.math, f"{where}: {page.math - page.formulas} formulas were left as TeX"
        left = re.findall(r"\$\$.*?\$\$|\\\(.*?\\\)|\\(?:frac|sum|begin|text)\b", " ".join(page.prose))
        assert not left, f"{where}: unrendered TeX: {left[:3]}"
        assert not re.search(r"<mi>(&amp;|\\)", (out / where).read_text(encoding="utf-8")), f"{where}: a formula holds what MathML does not know"


def test_no_markdown_is_left_in_code(site):
    out, pages, _ = site
    left = {where: found[:2] for where in pages if (found := re.findall(r"\[`[^`\]]+`\]\(http[^)]*\)", (out / where).read_text(encoding="utf-8")))}
    assert not left
