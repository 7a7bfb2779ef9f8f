"""The report in a real browser: it is opened from disk, filtered and sorted by mouse and keyboard, and asks for nothing but itself."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

from birnn_iqa.distortions import distort
from birnn_iqa.images import example_image, resize_image
from birnn_iqa.scoring import Scorer, score_files

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None or os.name == "nt", reason="no Chromium or Chrome found to open the report in")


class Browser:
    "Chromium without a window, spoken to in its DevTools protocol over two pipes."
    def __init__(self):
        self.profile = tempfile.mkdtemp()
        to_browser, from_browser = os.pipe(), os.pipe()
        def wire():   # Chromium reads from descriptor 3 and writes to 4
            ends = os.dup(to_browser[0]), os.dup(from_browser[1])
            os.dup2(ends[0], 3), os.dup2(ends[1], 4)
        self.process = subprocess.Popen([BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage",
                                         f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"], preexec_fn=wire, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser[0]), os.close(from_browser[1])
        self.write, self.read = os.fdopen(to_browser[1], "wb", buffering=0), os.fdopen(from_browser[0], "rb", buffering=0)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        page = next(t for t in self("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"): self(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.buffer:
            part = self.read.read(1 << 16)
            assert part, "the browser ended"
            self.buffer += part
        one, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(one)

    def __call__(self, method, **params):
        self.number += 1
        self.write.write(json.dumps(dict(id=self.number, method=method, params=params, **({"sessionId": self.session} if self.session else {}))).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, expression):
        "The value of a JavaScript expression in the page."
        result = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, path):
        self("Page.navigate", url=Path(path).as_uri())
        for _ in range(600):
            if self.run("document.readyState") == "complete" and self.run("location.protocol") == "file:": return
            time.sleep(.05)
        raise AssertionError("the page was not ready in half a minute")

    def click(self, selector):
        "With the mouse, in the middle of an element."
        x, y = self.run(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}}); const r = e.getBoundingClientRect(); return [r.x + r.width/2, r.y + r.height/2]; }})()")
        for kind in ("mousePressed", "mouseReleased"): self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector, text):
        "Into a field, in place of what is there."
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).value = ''")
        self("Input.insertText", text=text)

    def choose(self, selector, steps):
        "So many options further down a list, by arrow keys."
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        for _ in range(steps):
            for kind in ("keyDown", "keyUp"): self("Input.dispatchKeyEvent", type=kind, key="ArrowDown", code="ArrowDown", windowsVirtualKeyCode=40)

    def picture(self, path, width, height, scheme="light"):
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self("Emulation.setEmulatedMedia", features=[dict(name="prefers-color-scheme", value=scheme)])
        self.run("scrollTo(0, 0); new Promise(done => setTimeout(done, 300))")
        Path(path).write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        for file in (self.write, self.read): file.close()
        shutil.rmtree(self.profile, ignore_errors=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder/"in").mkdir()
    for i, name in enumerate(("astronaut", "chelsea", "coffee", "rocket", "china", "flower")):
        photo = resize_image(example_image(name), 240, 320 if i % 2 else 240)
        for level in (0, 4): Image.fromarray(distort(photo, "gaussian_blur", level)).save(folder/"in"/f"{name}-{level}.png")
    Image.fromarray(photo).save(folder/"in"/"<b onclick=alert(1)>&amp; '\".png")
    (folder/"in"/"broken.png").write_bytes(b"\x89PNG")
    rows = []
    score_files(folder/"in", report=folder/"report.html", model=Scorer(), each=rows.append, progress=False)
    return folder/"report.html", rows


@pytest.fixture(scope="module")
def browser(report):
    browser = Browser()
    browser.open(report[0])
    yield browser
    browser.close()


NAMES, SCORES = "[...document.querySelectorAll('#grid .name')].map(e => e.textContent)", "[...document.querySelectorAll('#grid b')].map(e => +e.textContent)"


def test_shows_every_picture_worst_first(browser, report):
    scored = [r for r in report[1] if not r["error"]]
    assert sorted(browser.run(NAMES)) == sorted(r["path"] for r in scored) and len(scored) == 13
    scores = browser.run(SCORES)
    assert scores == sorted(scores) and scores == pytest.approx(sorted(float(r["score"]) for r in scored), abs=.051)
    assert browser.run("[...document.querySelectorAll('#grid img')].every(i => i.loading === 'lazy')")
    browser.run("document.querySelectorAll('img').forEach(i => i.loading = 'eager'); Promise.all([...document.images].map(i => i.decode()))")
    assert browser.run("[...document.images].every(i => i.naturalWidth > 100)") and browser.run("document.images.length") == 26
    assert "13 pictures scored" in browser.run("document.getElementById('summary').textContent")
    assert "broken.png" in browser.run("document.getElementById('errors').textContent")


def test_filters_and_sorts(browser, report):
    browser.type("#text", "coffee")
    assert len(browser.run(NAMES)) == 2 and all("coffee" in n for n in browser.run(NAMES))
    browser.type("#text", "no such name")
    assert browser.run(NAMES) == [] and browser.run("document.getElementById('count').textContent").startswith("0 of 13")
    browser.type("#text", "onclick=alert(1)>&amp;")   # the name as it is, not as HTML
    assert len(browser.run(NAMES)) == 1
    browser.run("document.getElementById('text').value = ''; document.getElementById('controls').dispatchEvent(new Event('input'))")
    scores = browser.run(SCORES)
    middle = scores[6]
    browser.type("#low", f"{middle - .06:.2f}")
    assert all(s >= middle - .1 for s in browser.run(SCORES)) and 0 < len(browser.run(SCORES)) < 13
    browser.type("#low", "0")
    assert browser.run(SCORES) == scores
    browser.choose("#sort", 1)
    assert browser.run(SCORES) == scores[::-1]
    browser.choose("#sort", 1)
    assert browser.run(NAMES) == sorted(browser.run(NAMES))
    browser.run("document.getElementById('sort').value = 'score'; document.getElementById('controls').dispatchEvent(new Event('input'))")


def test_histogram_counts_and_filters(browser, report):
    counts = [0]*20
    for r in report[1]:
        if not r["error"]: counts[min(19, int(round(float(r["score"]), 2)//5))] += 1
    assert browser.run("[...document.querySelectorAll('#histogram button')].map(b => +b.getAttribute('aria-label').split(' ')[0])") == counts
    bar = next(i for i, n in enumerate(counts) if n)
    browser.click(f"#histogram button:nth-child({bar + 1})")
    assert len(browser.run(SCORES)) == counts[bar] and all(5*bar <= s <= 5*bar + 5 for s in browser.run(SCORES))
    browser.click(f"#histogram button:nth-child({bar + 1})")
    assert len(browser.run(SCORES)) == 13


def test_pictures_or_maps_alone(browser):
    def seen(kind): return browser.run(f"[...document.querySelectorAll('#grid .{kind}')].filter(i => i.getBoundingClientRect().width > 0).length")
    assert (seen("photo"), seen("map")) == (13, 13)
    browser.choose("#view", 1)
    assert (seen("photo"), seen("map")) == (13, 0)
    browser.choose("#view", 1)
    assert (seen("photo"), seen("map")) == (0, 13)
    browser.run("document.getElementById('view').value = ''; document.getElementById('view').dispatchEvent(new Event('change'))")


def test_fits_any_screen_and_scheme(browser, tmp_path):
    "No sideways scrolling, text that stands out from its ground; BIRNN_IQA_SCREENSHOTS=folder keeps the pictures."
    folder = Path(os.environ.get("BIRNN_IQA_SCREENSHOTS", tmp_path))
    grounds = []
    for name, width, height, scheme in (("wide-light", 1280, 900, "light"), ("wide-dark", 1280, 900, "dark"), ("phone-light", 360, 800, "light"), ("phone-dark", 360, 800, "dark")):
        browser.picture(folder/f"report-{name}.png", width, height, scheme)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("innerWidth") == width
        ink, paper = (browser.run(f"getComputedStyle(document.body).{p}.match(/\\d+/g).map(Number)") for p in ("color", "backgroundColor"))
        assert abs(sum(ink[:3]) - sum(paper[:3])) > 400
        grounds.append(sum(paper[:3]))
        with Image.open(folder/f"report-{name}.png") as shot: assert len(shot.convert("RGB").getcolors(1 << 24)) > 1000   # photographs, not a blank page
    assert grounds[0] > 600 > 200 > grounds[1]


def test_asks_for_nothing(browser, report):
    "After all of the above: one file was read, nothing else was asked for, no error was logged."
    urls = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert [u for u in urls if not u.startswith("data:")] == [report[0].as_uri()]
    wrong = [e for e in browser.events if e["method"] == "Runtime.exceptionThrown" or e["method"] == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"]
    assert not wrong, wrong
