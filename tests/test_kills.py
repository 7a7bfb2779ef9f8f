"""Scoring, training and the benchmark are killed again and again; run once more, they end as if nothing had been.

A few kills at each commit, 50 of each with BIRNN_IQA_LONG=1. The scorer is the shipped one; training and benchmark are small, and
the benchmark's backbone is a stand-in. Files, processes and signals are real. Kills come after a random time on the processor, so
that a busy machine changes nothing. (Extraction: test_store_kill.py.)
"""
import multiprocessing, os, shutil, signal, subprocess, sys, time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason="reads another process's processor time")
PICTURES, KILLS, FEW = 40, 50, 4


# What runs in the processes that are killed

SCORE = """
import csv, sys, time
from birnn_iqa.scoring import Scorer, Table, score_files
scorer = Scorer(threads=1)
scorer.network
class Slow:
    "A disk so slow that a kill often meets a torn row."
    def __init__(self, file): self.file = file
    def write(self, text):
        for at in range(0, len(text), 20):
            self.file.write(text[at:at + 20])
            self.file.flush()
            until = time.process_time() + .002
            while time.process_time() < until: pass
def add(table, row): csv.DictWriter(Slow(table.file), table.writer.fieldnames, lineterminator='\\n').writerow(row)
Table.add = add
print(flush=True)
score_files(sys.argv[2:], out=sys.argv[1] + '/scores.csv', maps_dir=sys.argv[1] + '/maps', model=scorer, progress=False)
"""


def score(pictures, out, seconds=None):
    "Score pictures with maps, killed after so many seconds on the processor: whether that came to its end, and its seconds."
    with subprocess.Popen([sys.executable, '-c', SCORE, out, *pictures], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        spent = watch(child.pid, lambda: child.poll() is None, seconds)
        child.kill()
    assert child.returncode in (0, -signal.SIGKILL), child.returncode
    return child.returncode == 0, spent


def processor_time(pid): return time.clock_gettime(~pid << 3 | 2)   # of another process, in seconds


def watch(pid, alive, seconds=None):
    "Wait until a process has spent `seconds` on the processor, or has ended; what it spent."
    spent, start = 0, processor_time(pid)
    while alive():
        try: spent = processor_time(pid) - start
        except OSError: break
        if seconds is not None and spent >= seconds: break
        time.sleep(.002)
    return spent


def small_config(**settings):
    from birnn_iqa.training import HeadConfig
    return HeadConfig(**dict(dict(lstm_layers=0, att=False, hidden_units=8, num_layers=1, epochs=4, batch_size=8, seed=3), **settings))


def train(table, store, out, started):
    "Train a small head; it says when it begins, when it begins to write, and when it has written half, where it rests for a moment."
    from birnn_iqa import training
    from birnn_iqa.datasets import random_splits
    from birnn_iqa.features import FeatureStore
    table = pd.read_pickle(table)   # our own
    write, versions = training._write_run, training._versions
    def announced(run):
        started.send('writing')
        write(run)
    def rested():
        started.send('half written')
        time.sleep(.2)
        return versions()
    training._write_run, training._versions = announced, rested
    started.send('training')
    training.train(FeatureStore(store), table, random_splits(table, 1, val=.2, seed=1)[0], small_config(), out/'run')


def benchmark(table, out, started):
    "NIQE, BRISQUE, a Bi-RNN and its mean-pooled baseline on two splits; the backbone is a stand-in that costs nothing."
    from birnn_iqa import features
    from birnn_iqa.benchmark import Settings, run_benchmark
    from test_store_kill import ChannelStatistics
    features.FeatureExtractor = ChannelStatistics
    ChannelStatistics._build = lambda self, base, weights, preprocess: (setattr(self, 'preprocess', None), dict(base='statistics', weights='none', preprocess=None))[1]
    started.send('begun')
    settings = Settings(dict(size=64, overlapping=0., small='resize'), small_config(epochs=2), 0, False)
    run_benchmark(dict(own=pd.read_pickle(table)), ['NIQE', 'BRISQUE', 'Bi-RCNN(EfficientNet-Lite0)', 'EfficientNet-Lite0'], '80/20x2', out, settings)


# The killing

@pytest.fixture(scope='module')
def processes():
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['birnn_iqa.training', 'birnn_iqa.benchmark', 'birnn_iqa.nss', 'sklearn.svm', 'pytest', 'PIL.JpegImagePlugin'])
    return context


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    for i in range(PICTURES):
        pixels = rng.integers(0, 256, (rng.integers(4, 12), rng.integers(4, 12), 3), np.uint8)
        Image.fromarray(pixels).resize((200, 200 + i)).save(folder/f'{i:03}.jpg', quality=60)
    return folder


@pytest.fixture(scope='module')
def table(pictures, tmp_path_factory):
    from birnn_iqa.datasets import from_csv
    path = tmp_path_factory.mktemp('table')
    moss = np.random.default_rng(1).uniform(0, 100, PICTURES).round(2)
    (path/'labels.csv').write_text('image,mos\n' + ''.join(f'{i:03}.jpg,{mos}\n' for i, mos in enumerate(moss)))
    from_csv(path/'labels.csv', images=pictures).to_pickle(path/'table.pickle')
    return path/'table.pickle'


def run(processes, target, *args, seconds=None, since=None):
    "Run in a process that is killed `seconds` of processor time after it says that it begins (or says `since`): whether it came to its end, and its seconds."
    here, there = processes.Pipe()
    child = processes.Process(target=target, args=(*args, there))
    child.start()
    there.close()
    try:
        while here.recv() != since and since: pass
        spent = watch(child.pid, child.is_alive, seconds)
        child.kill()
    except EOFError: spent = None   # it came to its end first
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL), f'exit code {child.exitcode}'
    return child.exitcode == 0, spent


def files(folder): return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob('*')) if path.is_file()}


def without_seconds(path): return pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns='seconds').to_dict('records')


def test_killed_scoring_goes_on_where_it_was(pictures, tmp_path, long, record):
    pictures = sorted(map(str, pictures.iterdir()))
    ended, seconds = score(pictures, tmp_path/'whole')
    wanted = without_seconds(tmp_path/'whole'/'scores.csv')
    maps, rng, kills, rounds, met, torn = files(tmp_path/'whole'/'maps'), np.random.default_rng(2), 0, 0, 0, 0
    assert ended and len(wanted) == len(maps) == PICTURES
    while kills < (KILLS if long else FEW) or not met and kills < KILLS:
        out, rounds, seen = tmp_path/f'out{rounds}', rounds + 1, b''
        while not score(pictures, out, rng.uniform(0, .9*seconds))[0]:   # rows come in sixteens, as the heads judge them
            kills += 1
            if not (out/'scores.csv').exists(): continue
            now = (out/'scores.csv').read_bytes()
            assert now.startswith(seen)   # what was written is never computed or written again
            seen = now[:now.rfind(b'\n') + 1]
            met += 0 < seen.count(b'\n') - 1 < PICTURES
            torn += seen != now
        assert without_seconds(out/'scores.csv') == wanted
        assert files(out/'maps') == maps
        shutil.rmtree(out)
    record(kills=kills, rounds=rounds, met_a_table_in_the_making=met, met_a_torn_row=torn)
    assert met


def run_values(folder):
    "All that a run folder holds, but for times."
    from birnn_iqa.training import load_run
    loaded = load_run(folder)
    metrics = {k: v for k, v in loaded.metrics.items() if k != 'seconds'}
    return loaded.plan, loaded.model.get_weights(), loaded.history.drop(columns='seconds'), loaded.predictions, metrics


def same_run(a, b):
    return (a[0] == b[0] and all(map(np.array_equal, a[1], b[1])) and len(a[1]) == len(b[1]) and a[2].equals(b[2]) and a[3].equals(b[3]) and a[4] == b[4])


@pytest.fixture(scope='module')
def store(table, tmp_path_factory):
    from birnn_iqa.features import FeatureStore
    folder, rng = tmp_path_factory.mktemp('features')/'store', np.random.default_rng(4)
    with FeatureStore(folder, dict(base='noise'), 'a') as made:
        for i in pd.read_pickle(table).image_id:
            p = rng.integers(2, 5)
            made.add(i, rng.normal(size=(p, 6)), np.zeros((p, 4)))
    return folder


def test_killed_training_leaves_no_run_or_a_whole_one(processes, table, store, tmp_path, long, record):
    job = table, store
    _, seconds = run(processes, train, *job, tmp_path/'whole')
    _, writing = run(processes, train, *job, tmp_path/'again', since='writing')
    wanted, rng = run_values(tmp_path/'whole'/'run'), np.random.default_rng(5)
    assert same_run(run_values(tmp_path/'again'/'run'), wanted)
    def moments(kills): return (dict(seconds=rng.uniform(0, seconds)), dict(seconds=rng.uniform(0, writing), since='writing'), dict(seconds=0, since='half written'))[kills % 3]
    kills, rounds, partial = 0, 0, 0
    while kills < (KILLS if long else FEW):
        out, rounds = tmp_path/f'out{rounds}', rounds + 1
        while not run(processes, train, *job, out, **moments(kills))[0]:
            kills += 1
            partial += out.exists() and any('.partial' in path.name for path in out.iterdir())
            if (out/'run').exists(): assert same_run(run_values(out/'run'), wanted)
            if kills % FEW == 0: break
        run(processes, train, *job, out)
        assert same_run(run_values(out/'run'), wanted)
        shutil.rmtree(out)
    record(kills=kills, rounds=rounds, met_a_run_in_the_writing=partial)
    assert partial


def results(folder): return without_seconds(folder/'results.csv'), files(folder/'predictions')


def test_killed_benchmark_ends_with_the_same_table(processes, table, tmp_path, long, record):
    _, seconds = run(processes, benchmark, table, tmp_path/'whole')
    wanted, rng = results(tmp_path/'whole'), np.random.default_rng(6)
    assert len(wanted[0]) == len(wanted[1]) == 8 and {row['status'] for row in wanted[0]} == {'ok'}
    kills, rounds, met = 0, 0, 0
    while kills < (KILLS if long else FEW):
        out, rounds = tmp_path/f'out{rounds}', rounds + 1
        while not run(processes, benchmark, table, out, seconds=rng.uniform(0, .6*seconds))[0]:
            kills += 1
            if (out/'results.csv').exists():
                met += 0 < len(rows := without_seconds(out/'results.csv')) < 8
                assert rows == wanted[0][:len(rows)]
        assert results(out) == wanted
        shutil.rmtree(out)
    record(kills=kills, rounds=rounds, met_a_table_in_the_making=met)
