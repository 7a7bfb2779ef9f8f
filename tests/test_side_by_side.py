"""Splits trained by workers: the table of one process, whatever is killed, interrupted or wrong; and no worker outlives its asker.

The asking process is a script without `if __name__ == '__main__'`. The backbone is a stand-in that costs nothing; processes, files and
signals are real.
"""
import os, shutil, signal, subprocess, sys, time
from pathlib import Path

import pandas as pd
import pytest
from test_kills import files, pictures, table   # pictures and table are fixtures

pytestmark = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
TOLERANCE = 1e-3   # points of the scale's 100
SYSTEM, SPLITS = 'Bi-RCNN(EfficientNet-Lite0)', [f'random-0-{i}' for i in range(3)]
SCRIPT = f"""
import sys
import pandas as pd
from birnn_iqa import features
from birnn_iqa.benchmark import Settings, run_benchmark
from birnn_iqa.training import HeadConfig
from test_store_kill import ChannelStatistics
features.FeatureExtractor = ChannelStatistics
ChannelStatistics._build = lambda self, *how: (setattr(self, 'preprocess', None), dict(base='statistics', weights='none', preprocess=None))[1]
table, out, jobs, schedule = sys.argv[1:]
config = HeadConfig(lstm_layers=1, lstm_units=4, hidden_units=8, num_layers=1, epochs=3, batch_size=8, schedule=schedule)
run_benchmark(dict(own=pd.read_pickle(table)), ['{SYSTEM}'], '80/20x{len(SPLITS)}', out, Settings(dict(size=64, overlapping=0., small='resize'), config, progress=False), jobs=int(jobs))
"""


@pytest.fixture(scope='module')
def ask(table, tmp_path_factory):
    "A function that starts the script, in a session of its own, as a terminal would."
    script = tmp_path_factory.mktemp('script')/'unguarded.py'
    script.write_text(SCRIPT)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')])
    def start(out, jobs, schedule='cosine'):
        return subprocess.Popen([sys.executable, script, table, out, str(jobs), schedule], stderr=subprocess.PIPE, text=True, start_new_session=True,
                                env=dict(os.environ, PYTHONPATH=path, CUDA_VISIBLE_DEVICES='-1'))
    return start


@pytest.fixture(scope='module')
def alone(ask, tmp_path_factory):
    "Results folder of the script with all in one process."
    out = tmp_path_factory.mktemp('alone')
    assert ask(out, 1).wait() == 0
    return out


def same_results(out, wanted):
    "Whether both folders hold the same rows in the same order, the same predictions up to the tolerance, and nothing half."
    ours, theirs = (pd.read_csv(folder/'results.csv').drop(columns=['seconds']) for folder in (out, wanted))
    numbers = ['srocc', 'plcc', 'plcc_logistic', 'krcc', 'rmse', 'rmse_logistic']
    assert ours.drop(columns=numbers).equals(theirs.drop(columns=numbers))
    assert list(ours.split) == SPLITS and set(ours.status) == {'ok'}
    assert sorted(files(out/'predictions')) == sorted(files(wanted/'predictions')) and len(files(out/'predictions')) == len(SPLITS)
    for name in files(out/'predictions'):
        a, b = (pd.read_csv(folder/'predictions'/name) for folder in (out, wanted))
        assert list(a.image_id) == list(b.image_id) and (a.prediction - b.prediction).abs().max() < TOLERANCE
    assert not half_written(out)
    return True


def half_written(out): return [path.name for path in (out/'runs').glob('.*')]


def workers(asker):
    "Its children that train."
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            parent = stat.read_text().rpartition(') ')[2].split()[1]
            if int(parent) == asker.pid and '_work()' in stat.with_name('cmdline').read_text(): found.append(int(stat.parent.name))
        except OSError: pass   # it has just ended
    return found


def alive(pid):
    try: return Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2].split()[0] != 'Z'
    except OSError: return False


def wait_until(condition, seconds=300):
    "Its value, once it is true."
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, 'waited too long'
        time.sleep(.005)
    return value


def both(asker): return len(pids := workers(asker)) == 2 and pids


def training(asker):
    "The workers, once they read features."
    def reads(pid): return 'features.bin' in Path(f'/proc/{pid}/maps').read_text()
    try: return (pids := both(asker)) and all(map(reads, pids)) and pids
    except OSError: return None   # one has just ended


def test_two_workers_give_the_table_of_one_process(ask, alone, tmp_path):
    asker = ask(tmp_path, 2)
    most = 0
    while asker.poll() is None:
        most = max(most, len(workers(asker)))
        time.sleep(.05)
    assert most == 2 and asker.returncode == 0 and 'worker failed' not in asker.communicate()[1]
    assert same_results(tmp_path, alone)


def test_workers_end_with_their_asker_and_leave_nothing_half(ask, alone, tmp_path, long, record):
    def writing(asker): return half_written(tmp_path) and workers(asker)
    moments = [(both, 'killed'), (training, 'Ctrl-C'), (writing, 'killed')]
    if long: moments += [(moment, way) for way in ('Ctrl-C', 'killed', 'terminated') for moment in (both, training, writing) for _ in range(3)]
    def caught(moment, way):
        "End an asker at a moment; its workers and what it said, or None where it was done before."
        asker = ask(tmp_path, 2)
        pids = wait_until(lambda: moment(asker) or asker.poll() is not None)
        if asker.poll() is None:
            if way == 'Ctrl-C': os.killpg(asker.pid, signal.SIGINT)   # reaches all of them, as from a terminal
            else: asker.send_signal(dict(killed=signal.SIGKILL, terminated=signal.SIGTERM)[way])
        told = asker.communicate()[1]
        return (pids, told) if asker.returncode else None
    for ended, (moment, way) in enumerate(moments):
        for attempt in range(8):
            if met := caught(moment, way): break
            for name in files(tmp_path): (tmp_path/name).unlink()   # too late: from the beginning
            shutil.rmtree(tmp_path/'runs', ignore_errors=True)
        assert met, f'not {way} at this moment in eight attempts'
        pids, told = met
        if way == 'Ctrl-C': assert 'KeyboardInterrupt' in told and not any(map(alive, pids))   # it waited for them
        else: wait_until(lambda: not any(map(alive, pids)), seconds=120)
        assert not half_written(tmp_path)
        if long: shutil.rmtree(tmp_path/'runs', ignore_errors=True)   # so that the next moment comes too
    asker = ask(tmp_path, 2)
    assert 'worker failed' not in asker.communicate()[1] and same_results(tmp_path, alone)
    record(interrupted=ended + 1)


def test_a_worker_that_is_killed_is_told_and_its_split_trained_all_the_same(ask, alone, tmp_path):
    asker = ask(tmp_path, 2)
    os.kill(wait_until(lambda: training(asker))[0], signal.SIGKILL)
    told = asker.communicate()[1]
    assert asker.returncode == 0 and same_results(tmp_path, alone)
    assert told.count('its worker failed (exit code -9)') == 1 and f'{SYSTEM} on own, 80/20x3, random-0-' in told


def test_what_is_wrong_for_one_split_is_told_and_costs_no_other(ask, alone, tmp_path):
    out = shutil.copytree(alone, tmp_path/'out')
    config = next((out/'runs').glob(f'*{SPLITS[1]}*'))/'config.json'
    config.write_text(config.read_text().replace('"epochs": 3', '"epochs": 4'))   # another run, to all appearances
    (out/'results.csv').unlink()
    assert ask(out, 2).wait() == 0
    rows = pd.read_csv(out/'results.csv').set_index('split').status
    assert list(rows.index) == SPLITS and list(rows[[SPLITS[0], SPLITS[2]]]) == ['ok', 'ok'] and rows[SPLITS[1]].startswith('ValueError: ')
    assert 'config.epochs' in next((out/'errors').glob(f'*{SPLITS[1]}.txt')).read_text()


def test_what_is_wrong_for_all_is_told_with_system_and_split(ask, tmp_path):
    asker = ask(tmp_path, 2, 'none')
    told = asker.communicate()[1]
    rows = pd.read_csv(tmp_path/'results.csv')
    assert asker.returncode == 0 and list(rows.split) == SPLITS and rows.status.str.startswith("ValueError: schedule is 'none'").all()
    for split in SPLITS: assert f"{SYSTEM} on own, 80/20x3, {split}: its worker failed (exit code 1, ValueError: schedule is 'none'" in told
    assert not half_written(tmp_path)
