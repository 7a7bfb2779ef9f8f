"""`birnn-iqa score` and `export` as a user types them: fresh processes, real files, what arrives on the terminal."""
import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from hostile import write_hostile  # noqa: E402

from birnn_iqa.images import example_image, resize_image  # noqa: E402

HEADER = "path,score,std,width,height,patches,seconds,error"
MAIN = "import sys; from birnn_iqa.cli import main; sys.exit(main())"
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def birnn_iqa(*words, cwd, stdin=None, code=MAIN):
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=cwd, input=stdin, capture_output=True, text=True,
                          errors="surrogateescape", env=dict(os.environ, CUDA_VISIBLE_DEVICES="-1"), timeout=900)


def rows(text): return list(csv.DictReader(io.StringIO(text)))


def without_seconds(text): return [{k: v for k, v in r.items() if k != "seconds"} for r in rows(text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Eight small photographs; the compiled network is in the cache afterwards."
    folder = tmp_path_factory.mktemp("pictures")
    for i, name in enumerate(("astronaut", "chelsea", "coffee", "rocket", "china", "flower")):
        Image.fromarray(resize_image(example_image(name), 240, 320)).save(folder/f"{i}-{name}.png")
    (folder/"in here").mkdir()
    Image.fromarray(resize_image(example_image("coffee"), 300, 300)).save(folder/"in here"/"ä, \"b\".jpg")
    (folder/"broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = birnn_iqa("score", "0-astronaut.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_table_on_standard_output(folder):
    "In the order given, a row for a file that fails, nothing but the summary on standard error, the code of a failure."
    done = birnn_iqa("score", "5-flower.png", "broken.jpg", "none.jpg", "0-*.png", "5-flower.png", cwd=folder)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == HEADER
    table = rows(done.stdout)
    assert [r["path"] for r in table] == ["5-flower.png", "broken.jpg", "none.jpg", "0-astronaut.png"]
    assert [bool(r["error"]) for r in table] == [False, True, True, False]
    assert [bool(r["score"]) for r in table] == [True, False, False, True]
    assert (table[0]["width"], table[0]["height"]) == ("320", "240") and 0 < float(table[0]["score"]) < 100
    assert len(done.stderr.splitlines()) == 1 and "2 failed" in done.stderr


def test_standard_input_recursion_and_threshold(folder):
    names = "in here/ä, \"b\".jpg\n\n0-astronaut.png\r\n"
    done = birnn_iqa("score", "-", "--threshold", "100", cwd=folder, stdin=names)
    assert done.returncode == 4 and "2 below 100" in done.stderr
    assert [r["path"] for r in rows(done.stdout)] == ["in here/ä, \"b\".jpg", "0-astronaut.png"]
    assert birnn_iqa("score", "in here", "-r", "--threshold", "1", cwd=folder).returncode == 0
    assert birnn_iqa("score", "broken.jpg", "0-astronaut.png", "--threshold", "100", cwd=folder).returncode == 5
    assert len(rows(birnn_iqa("score", ".", "-r", cwd=folder).stdout)) == 8


@needs_openvino
def test_light_imports(folder):
    "Neither TensorFlow nor Keras nor pandas on the way from a file to a score."
    code = MAIN.replace("sys.exit(main())", "code = main(); print(*sorted({'keras', 'tensorflow', 'pandas', 'sklearn', 'skimage', 'matplotlib', 'scipy'} & set(sys.modules)), file=sys.stderr)")
    done = birnn_iqa("score", "0-astronaut.png", "-o", "light.csv", "--report", "light.html", "--maps", "maps", cwd=folder, code=code)
    assert done.stderr.strip() == "" and len(rows((folder/"light.csv").read_text())) == 1


def test_keras_alone_gives_the_same_scores(folder):
    "As where the extra is not installed: OpenVINO can't be found."
    hidden = "import importlib.util, sys; find = importlib.util.find_spec; importlib.util.find_spec = lambda n, *a: None if n.split('.')[0] == 'openvino' else find(n, *a); sys.modules['openvino'] = None; "
    names = "0-astronaut.png", "in here/ä, \"b\".jpg"
    keras, default = (birnn_iqa("score", *names, cwd=folder, code=before + MAIN) for before in (hidden, ""))
    assert keras.returncode == default.returncode == 0, keras.stderr
    assert [float(r["score"]) for r in rows(keras.stdout)] == pytest.approx([float(r["score"]) for r in rows(default.stdout)], abs=.01)


def test_killed_and_run_again(folder):
    "A table that was killed in the middle ends as one that was not."
    many = folder/"many"
    many.mkdir()
    for i in range(150): Image.fromarray(np.roll(resize_image(example_image("coffee"), 256, 256), 7*i, 1)).save(many/f"{i:03d}.png", compress_level=0)
    process = subprocess.Popen([sys.executable, "-c", MAIN, "score", "many", "-o", "killed.csv"], cwd=folder, env=dict(os.environ, CUDA_VISIBLE_DEVICES="-1"), stdout=subprocess.DEVNULL)
    for _ in range(3000):
        time.sleep(.01)
        if (folder/"killed.csv").exists() and (folder/"killed.csv").read_bytes().count(b"\n") > 20: break
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(rows((folder/"killed.csv").read_text()))
    assert 20 <= before < 150
    again = birnn_iqa("score", "many", "-o", "killed.csv", cwd=folder)
    assert again.returncode == 0 and "scored before" in again.stdout, again.stderr
    assert birnn_iqa("score", "many", "-o", "whole.csv", cwd=folder).returncode == 0
    killed, whole = (without_seconds((folder/name).read_text()) for name in ("killed.csv", "whole.csv"))
    assert [r["path"] for r in killed] == [r["path"] for r in whole] and len(whole) == 150
    assert [float(r["score"]) for r in killed] == pytest.approx([float(r["score"]) for r in whole], abs=.01)


def test_json_and_parquet(folder):
    done = birnn_iqa("score", "0-astronaut.png", "broken.jpg", "-o", "scores.json", cwd=folder)
    table = json.loads((folder/"scores.json").read_text())
    assert done.returncode == 1 and list(table[0]) == HEADER.split(",")
    assert isinstance(table[0]["score"], float) and table[1]["score"] is None and "broken.jpg" in table[1]["error"]
    done = birnn_iqa("score", "0-astronaut.png", "broken.jpg", "-o", "scores.parquet", cwd=folder)
    if importlib.util.find_spec("pyarrow") is None: assert done.returncode == 2 and "pip install pyarrow" in done.stderr
    else:
        import pyarrow.parquet
        assert pyarrow.parquet.read_table(folder/"scores.parquet").column_names == HEADER.split(",")


def test_quiet_about_odd_files(folder):
    "Whatever a decoder thinks of a file, the terminal shows our lines only."
    hostile = folder/"hostile"
    hostile.mkdir()
    paths = [c.path for c in write_hostile(hostile, 0) if isinstance(c.path, (str, Path)) and str(c.path) and "\n" not in str(c.path) and "\0" not in str(c.path)]
    listed = "\n".join(os.fsdecode(p) for p in paths)
    done = birnn_iqa("score", "-", cwd=folder, stdin=listed)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and " failed" in done.stderr, done.stderr
    assert len(rows(done.stdout)) == len(set(listed.split("\n")))
    assert all(bool(r["score"]) != bool(r["error"]) for r in rows(done.stdout))


def test_closed_pipe_and_nonsense(folder):
    shell = f'"{sys.executable}" -c "{MAIN}" score many | head -n 1'
    done = subprocess.run(["bash", "-c", shell], cwd=folder, capture_output=True, text=True)
    assert done.stdout.strip() == HEADER and done.stderr == ""
    for words, told in ((("score", "*.gif"), "no picture files"), (("score", "0-astronaut.png", "--model", "many"), "no scorer here"),
                        (("score", "0-astronaut.png", "-o", "broken.jpg"), ".csv")):
        done = birnn_iqa(*words, cwd=folder)
        assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_train_then_score(tmp_path):
    "One's own table of scores becomes a model that `score` takes, and that looks at pictures in the size that it was trained on."
    from birnn_iqa.demo import write_demo_database
    write_demo_database(tmp_path, ("coffee", "chelsea", "china", "rocket"))
    done = birnn_iqa("train", "--data", "labels.csv", "--images", "images", "--overlapping", "0", "--epochs", "4", "--test", ".25", "--val", ".34", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0 and "written to run" in done.stdout, done.stderr
    assert json.loads((tmp_path/"run"/"scorer"/"scorer.json").read_text())["area"] == 384*512
    scored = birnn_iqa("score", "--model", "run", "images/coffee-none-0.jpg", cwd=tmp_path)
    predicted = birnn_iqa("predict", "run", "images/coffee-none-0.jpg", cwd=tmp_path)
    assert scored.returncode == predicted.returncode == 0, scored.stderr + predicted.stderr
    expected = float(rows(predicted.stdout)[0]["score"])   # labels.csv runs from 0 to 100
    assert float(rows(scored.stdout)[0]["score"]) == pytest.approx(min(max(expected, 5), 95), abs=2.5)   # a scorer approaches the ends smoothly


def test_help_is_quick_and_shows_examples(folder):
    code = MAIN.replace("sys.exit(main())", "\ntry: main()\nfinally: print(len({'numpy', 'PIL', 'keras', 'openvino'} & set(sys.modules)))")
    for command in ("score", "export"):
        done = birnn_iqa(command, "--help", cwd=folder, code=code)
        assert f"birnn-iqa {command} " in done.stdout.partition("example:")[2] and done.stdout.splitlines()[-1] == "0"
