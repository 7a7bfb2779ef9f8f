"""The hostile pictures go through the whole scorer, in one batch, as a stranger's folder would: a row for each, in order."""
import csv
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from birnn_iqa.images import _name, example_path
from birnn_iqa.scoring import COLUMNS, Scorer
from hostile import write_hostile

GOOD, EVERY = 'coffee', 25   # a good photograph comes first, last and after every so many hostile ones
MEBIBYTES, SECONDS = 1500, 300

CHILD = """
import json, resource, sys
from birnn_iqa.scoring import Scorer, score_files
scorer = Scorer(threads=1)
scorer.network
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
counts = score_files('-', out=sys.argv[2], model=scorer, progress=False, lines=json.load(open(sys.argv[1])))
print(json.dumps(dict(counts._asdict(), mebibytes=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)/1024)))
"""


@pytest.fixture(scope='module')
def batch(tmp_path_factory):
    "The list of files, what each must give (None for the good photograph), and the table that came of it."
    folder = tmp_path_factory.mktemp('hostile')
    cases = [c for c in write_hostile(folder) if os.fspath(c.path)]   # an empty line of a list is no file
    items = [(str(example_path(GOOD)), None)]
    for i, case in enumerate(cases, 1):
        items.append((os.fspath(case.path), case))
        if i % EVERY == 0:   # under another name, as one file is listed once
            again = folder.parent/f'good{i}{example_path(GOOD).suffix}'
            again.symlink_to(example_path(GOOD))
            items.append((str(again), None))
    lines, table = folder.parent/'lines.json', folder.parent/'scores.csv'
    lines.write_text(json.dumps([path for path, _ in items]))
    child = subprocess.run([sys.executable, '-W', 'ignore', '-c', CHILD, lines, table], capture_output=True, text=True, errors='replace', timeout=SECONDS)
    assert child.returncode == 0, child.stderr[-3000:]
    with open(table, encoding='utf-8', errors='surrogateescape', newline='') as file: rows = list(csv.DictReader(file))
    return items, rows, json.loads(child.stdout), child.stderr


def test_a_row_for_each_file_in_order(batch):
    items, rows, counts, _ = batch
    assert len(items) > 500 and list(rows[0]) == list(COLUMNS)
    assert [row['path'] for row in rows] == [path for path, _ in items]
    assert counts['files'] == len(items) and counts['failed'] == sum(bool(row['error']) for row in rows)


def test_each_has_a_score_or_one_line_that_names_it(batch):
    wrong = []
    for (path, case), row in zip(batch[0], batch[1]):
        name, verdict = ascii(os.path.basename(path)), 'picture' if case is None else case.verdict
        if row['error']:
            if verdict == 'picture': wrong.append(f"{name}: refused: {row['error']}")
            if row['score'] or not row['error'].isprintable(): wrong.append(f"{name}: {row}")
            if os.path.basename(_name(path)) not in row['error']: wrong.append(f"{name}: not named in {row['error']!r}")
        else:
            if verdict == 'error': wrong.append(f"{name}: scored {row['score']}")
            if not (0 <= float(row['score']) <= 100 and float(row['std']) > 0 and int(row['patches']) > 0): wrong.append(f'{name}: {row}')
    assert not wrong, f'{len(wrong)} problems:\n' + '\n'.join(wrong)


def test_the_good_ones_among_them_are_untouched(batch):
    alone = Scorer(threads=1)(example_path(GOOD), maps=False)
    scores = [float(row['score']) for (_, case), row in zip(batch[0], batch[1]) if case is None]
    assert len(scores) > 20
    assert max(abs(score - alone.score) for score in scores) < .01


def test_memory_and_terminal_stay_clean(batch):
    _, _, counts, terminal = batch
    assert counts['mebibytes'] < MEBIBYTES
    assert 'Traceback' not in terminal


def test_threads_of_pixels_are_looked_at_in_bounded_memory(tmp_path):
    "Pictures of one line or column, up to the widest that a JPEG or PNG can hold, cost no more than ordinary ones."
    scorer, seen = Scorer(threads=1), {}
    for size in ((5000, 1), (1, 5000), (65_000, 1), (1, 65_000), (1_000_000, 2), (3, 400_000), (1, 1)):
        path = tmp_path/f'{size[0]}x{size[1]}.png'
        Image.new('RGB', size, (90, 120, 60)).save(path)
        look = scorer.look(path)
        seen[size] = look.image.shape
        assert look.image.size <= 3*4096*224, seen
        result = scorer(path)
        assert 0 <= result.score <= 100 and result.map(500).size <= 500*500 and result.overlay().size
    assert seen[5000, 1] == (224, 4096, 3)
