"""A disk that fills up, a folder that may not be written, two processes on one table: a clear error, and what was there stays whole."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birnn_iqa.images import example_image, resize_image
from birnn_iqa.scoring import Scorer, Table, score_files

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='resource limits and users are POSIX')
MAIN = """
import resource, signal, sys
from birnn_iqa.cli import main
limit = int(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


ROOT = hasattr(os, 'geteuid') and os.geteuid() == 0
OBEYING = ['setpriv', '--bounding-set=-dac_override,-dac_read_search']   # root, held by permissions as anybody is


def birnn_iqa(*words, limit=0, obeying=False):
    "The command in a process that may write no file beyond `limit` bytes, or is held by permissions even as root."
    return subprocess.run([*(OBEYING if obeying and ROOT else []), sys.executable, '-W', 'ignore', '-c', MAIN, str(limit), *map(str, words)], capture_output=True, text=True, timeout=900,
                          env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='-1'))


def refused(done, *told):
    "One line on the terminal, that tells what was asked for, and the code of a command that could not go on."
    assert done.returncode == 2, (done.returncode, done.stderr[-3000:])
    assert 'Traceback' not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith('birnn-iqa ') and all(word in line for word in told), done.stderr[-3000:]


def without_seconds(path): return [line.split(',')[:6] for line in Path(path).read_text().splitlines()]


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for i in range(12): Image.fromarray(np.roll(resize_image(example_image('coffee'), 64, 64), 5*i, 1)).save(folder/f'{i:02}.png')
    score_files(folder, out=folder.parent/'whole.csv', model=Scorer(threads=1), progress=False)   # the network is in the cache afterwards
    return folder


def test_full_disk_while_scoring(pictures, tmp_path):
    "The rows that found room stay; with room made, the same command ends with the same table."
    out, whole = tmp_path/'scores.csv', pictures.parent/'whole.csv'
    refused(birnn_iqa('score', pictures, '-o', out, limit=whole.stat().st_size//2), str(out), 'make room')
    there = out.read_bytes()
    rows = there[:there.rfind(b'\n')].count(b'\n')
    assert 2 <= rows < 12
    done = birnn_iqa('score', pictures, '-o', out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(there[:there.rfind(b'\n') + 1]) and without_seconds(out) == without_seconds(whole)
    for option in ('--report', '--maps'):   # neither is half there
        refused(birnn_iqa('score', pictures, '-o', tmp_path/'other.csv', '--overwrite', option, tmp_path/'page.html', limit=3000), 'page.html')
        assert not list(tmp_path.glob('*.html')) or not any((tmp_path/'page.html').iterdir())
        shutil.rmtree(tmp_path/'page.html', ignore_errors=True)


@pytest.mark.skipif(not ROOT, reason='only root can mount')
def test_a_disk_of_its_own_that_is_full(pictures, tmp_path, long, record):
    if not long: pytest.skip('BIRNN_IQA_LONG=1 runs it')
    disk = tmp_path/'disk'
    disk.mkdir()
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=8k', 'none', disk]).returncode: pytest.skip('no right to mount')
    try:
        (disk/'earlier.csv').write_text('earlier\n')
        (disk/'filler').write_bytes(bytes(4096 - 64))   # a page each: the table's only page is its name's
        done = birnn_iqa('score', pictures, '-o', disk/'scores.csv')
        refused(done, 'No space left on device', 'scores.csv')
        assert (disk/'earlier.csv').read_text() == 'earlier\n'
        (disk/'filler').unlink()
        subprocess.run(['mount', '-o', 'remount,size=1m', disk], check=True)
        assert birnn_iqa('score', pictures, '-o', disk/'scores.csv').returncode == 0
        assert without_seconds(disk/'scores.csv') == without_seconds(pictures.parent/'whole.csv')
        record(said=done.stderr.strip().splitlines()[-1].replace(str(disk), 'DISK'))
    finally: subprocess.run(['umount', disk])


def test_folder_that_may_not_be_written(pictures, tmp_path):
    earlier = tmp_path/'earlier.csv'
    earlier.write_text('earlier\n')
    for folder in (tmp_path, *tmp_path.parents[:2], pictures): os.chmod(folder, 0o755)
    os.chmod(tmp_path, 0o555)
    if ROOT and not shutil.which('setpriv'): pytest.skip('root may write anywhere')
    try:
        for words in (('-o', tmp_path/'scores.csv'), ('-o', tmp_path/'new'/'scores.csv'), ('--maps', tmp_path/'maps'), ('--report', tmp_path/'page.html'), ('-o', earlier, '--overwrite')):
            refused(birnn_iqa('score', pictures, *words, obeying=True), tmp_path.name)
    finally: os.chmod(tmp_path, 0o755)
    assert [p.name for p in tmp_path.iterdir()] == ['earlier.csv'] and earlier.read_text() == 'earlier\n'


def test_two_processes_on_one_table(pictures, tmp_path):
    "One writes; the other is told, and nothing is mixed."
    out = tmp_path/'scores.csv'
    scorer = Scorer(threads=1)
    table = Table(out, scorer.digest)
    table.resume([])
    refused(birnn_iqa('score', pictures, '-o', out), 'another process', out.name)
    table.close()
    children = [subprocess.Popen([sys.executable, '-c', MAIN, '0', 'score', pictures, '-o', out], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(3)]
    ends = [(child.communicate()[1], child.returncode) for child in children]
    assert {code for _, code in ends} <= {0, 2} and 0 in {code for _, code in ends}, ends
    assert all('another process' in said for said, code in ends if code == 2)
    assert without_seconds(out) == without_seconds(pictures.parent/'whole.csv')


# Training

TRAIN = """
import json, resource, signal, sys, numpy as np, pandas as pd
from pathlib import Path
from birnn_iqa.datasets import random_splits
from birnn_iqa.features import FeatureStore
from birnn_iqa.training import HeadConfig, load_run, train
folder = Path(sys.argv[1])
names, rng = [f'{i}.jpg' for i in range(30)], np.random.default_rng(0)
table = pd.DataFrame(dict(image_id=names, path=names, mos=rng.uniform(0, 100, 30), split='', group=names))
with FeatureStore(folder/'store', dict(base='noise'), 'a') as store:
    for name in names:
        if name not in store: store.add(name, rng.normal(size=(3, 6)), np.zeros((3, 4)))
split, said = random_splits(table, 1, val=.2)[0], []
def fit(seed):
    config = HeadConfig(lstm_layers=0, att=False, hidden_units=8, num_layers=1, epochs=2, seed=seed)
    try: train(FeatureStore(folder/'store'), table, split, config, folder/f'run{seed}')
    except (OSError, ValueError) as error: said.append(type(error).__name__ + ': ' + str(error))
def there(): return sorted(p.name for p in folder.iterdir())
fit(1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
fit(2)
full = there()
resource.setrlimit(resource.RLIMIT_FSIZE, before)
earlier = load_run(folder/'run1').metrics['best_epoch'] > 0
fit(2)
print(json.dumps(dict(said=said, full=full, earlier=earlier, roomy=there())))
"""


def test_full_disk_while_training(tmp_path):
    "No half run is left, and the earlier one can be read."
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', TRAIN, tmp_path], capture_output=True, text=True, timeout=900,
                          env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='-1'))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['full'] == ['run1', 'store'] and found['earlier'] and found['roomy'] == ['run1', 'run2', 'store'], found
    assert len(found['said']) == 1 and 'run2' in found['said'][0] or 'large' in found['said'][0], found
