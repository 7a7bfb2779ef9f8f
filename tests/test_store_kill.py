"""Extraction is killed, starved of disk and raced; the store ends as an undisturbed run leaves it.

The network is a stand-in (channel statistics) so that 60 kills take seconds; files, threads, store and signals are real.
"""
import multiprocessing, os, resource, shutil, signal, time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from birnn_iqa import features
from birnn_iqa.features import FeatureExtractor, FeatureStore, Source, StoreError, StoreKeyError, StoreLockedError

pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='SIGKILL and resource limits are POSIX')
FILES = 'features.bin', 'index.jsonl', 'key.json'
PICTURES, KILLS = 30, 60


class ChannelStatistics(FeatureExtractor):
    "A network that costs nothing: mean and deviation of each channel, in the order of the patches."
    def _build(self, base, weights, preprocess):
        self.preprocess = None
        return dict(base=base, weights='none', preprocess=None)

    def _compile(self, raw): return Statistics()


class Statistics:
    def __call__(self, patches):
        time.sleep(0.002)
        patches = patches.astype(np.float32)
        return np.concatenate([patches.mean((1, 2)), patches.std((1, 2))], axis=1)

    def map(self, batches, lend=False): return map(self, batches)


def extractor(): return ChannelStatistics('statistics', size=32, overlapping=0.5, batch_size=7)


def extract(pictures, store):
    extractor().extract(sorted(Path(pictures).iterdir()), store, progress=False)


def extract_slowly(pictures, store, started):
    "Extraction on a disk so slow that a kill often meets a half-written record, between any two steps."
    def write_all(file, content):
        for at in range(0, len(content), 200):
            file.write(content[at:at + 200])
            time.sleep(0.0002)
    features._write_all = write_all
    started.send(True)
    extract(pictures, store)


def extract_wide(pictures, store, limit):
    "Extraction where no file may grow beyond `limit` bytes, as on a disk that fills up; the error goes to a file."
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try: extract(pictures, store)
    except StoreError as error: Path(str(store) + '.error').write_text(f'{type(error).__name__}: {error}')


def read_and_write(store, uid):
    "Read a store of a folder that `uid` may not write, and try to write it; the exit code tells."
    if uid is not None: os.setuid(uid)
    store = FeatureStore(store)
    if len(store) != PICTURES or store.verify(): os._exit(1)
    try: FeatureStore(store.dir, mode='a')
    except StoreError as error: os._exit(7 if 'cannot write' in str(error) else 2)


@pytest.fixture(scope='module')
def processes():
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['birnn_iqa.features', 'pytest', 'PIL.JpegImagePlugin'])
    return context


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp('pictures'), np.random.default_rng(0)
    for i in range(PICTURES):
        pixels = rng.integers(0, 256, (rng.integers(2, 6), rng.integers(2, 6), 3), np.uint8)
        Image.fromarray(pixels).resize(tuple(rng.integers(32, 128, 2).tolist())).save(folder/f'{i:03}.jpg')
    return folder


@pytest.fixture(scope='module')
def undisturbed(pictures, tmp_path_factory):
    store = tmp_path_factory.mktemp('undisturbed')/'store'
    start = time.perf_counter()
    extract(pictures, store)
    return store, time.perf_counter() - start


def run_and_kill(processes, pictures, store, seconds):
    "Start an extraction and kill it after `seconds`; True where it came to its end before."
    here, there = processes.Pipe()
    child = processes.Process(target=extract_slowly, args=(pictures, store, there))
    child.start()
    here.recv()
    child.join(seconds)
    child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode == 0


def content(store): return {name: (store/name).read_bytes() for name in FILES}


def test_sixty_kills_lose_and_double_nothing(processes, pictures, undisturbed, tmp_path, record):
    expected, seconds = undisturbed
    whole = FeatureStore(expected)
    rng, kills, rounds, under_way, torn = np.random.default_rng(1), 0, 0, 0, 0
    while kills < KILLS or (under_way < 10 or torn < 5) and kills < 5*KILLS:
        store, rounds = tmp_path/f'store{rounds}', rounds + 1
        while not run_and_kill(processes, pictures, store, rng.uniform(0, 0.4*seconds)):
            kills += 1
            if not (store/'key.json').exists(): continue
            seen = FeatureStore(store)   # a reader may come at any moment: it sees whole records and no other
            under_way += 0 < len(seen) < PICTURES
            torn += seen.end < (store/'features.bin').stat().st_size or not (store/'index.jsonl').read_bytes().endswith(b'\n')
            assert seen.ids == whole.ids[:len(seen)]
            for id in seen: assert np.array_equal(seen[id], whole[id]) and np.array_equal(seen.boxes(id), whole.boxes(id))
        assert content(store) == content(expected)
        assert FeatureStore(store).verify() == []
    assert under_way >= 10 and torn >= 5, f'of {kills} kills, {under_way} met a store in the making, {torn} a half-written record'
    record(kills=kills, rounds=rounds, met_a_store_in_the_making=under_way, met_a_half_written_record=torn)


def test_every_torn_tail(undisturbed, tmp_path):
    "Whatever byte the last write of the index reached, adding what is missing gives the same files."
    whole = FeatureStore(undisturbed[0])
    ids = whole.ids[:3]
    def add(store): store.add_many((id, whole[id], whole.boxes(id), Source(whole.record(id).content, whole.record(id).stat)) for id in ids if id not in store)
    with FeatureStore(tmp_path/'three', key=whole.key, mode='a') as three: add(three)
    expected = content(tmp_path/'three')
    for stop in range(len(expected['index.jsonl'])):
        (tmp_path/'three'/'index.jsonl').write_bytes(expected['index.jsonl'][:stop])
        with FeatureStore(tmp_path/'three', mode='a') as three: add(three)
        assert content(tmp_path/'three') == expected


@pytest.mark.parametrize('share', [0.1, 0.5, 0.9])
def test_full_disk_leaves_earlier_pictures_whole(processes, pictures, undisturbed, tmp_path, share):
    expected = FeatureStore(undisturbed[0])
    store, limit = tmp_path/'store', int((undisturbed[0]/'features.bin').stat().st_size*share)
    child = processes.Process(target=extract_wide, args=(pictures, store, limit))
    child.start()
    child.join()
    message = Path(str(store) + '.error').read_text()
    assert message.startswith(f'StoreError: {store}: writing features failed') and 'make room' in message
    seen = FeatureStore(store)
    assert seen.ids == expected.ids[:len(seen)] and seen.verify() == []
    extract(pictures, store)
    assert content(store) == content(undisturbed[0])


def test_read_only_folder(processes, undisturbed, tmp_path):
    "A reader needs no right to write; a writer is told."
    store = tmp_path/'store'
    shutil.copytree(undisturbed[0], store)
    os.chmod(store, 0o555)
    for folder in (tmp_path, *tmp_path.parents[:2]): os.chmod(folder, 0o755)
    child = processes.Process(target=read_and_write, args=(store, 65534 if os.geteuid() == 0 else None))
    child.start()
    child.join()
    os.chmod(store, 0o755)
    assert child.exitcode == 7


def test_two_processes_on_one_store(processes, pictures, undisturbed, tmp_path):
    "Of two writers one is refused; whichever it is, the store is that of one undisturbed run."
    children = [processes.Process(target=extract, args=(pictures, tmp_path/'store')) for _ in range(2)]
    for child in children: child.start()
    for child in children: child.join()
    assert sorted(child.exitcode for child in children) in ([0, 0], [0, 1])   # both succeed where one came after the other
    assert content(tmp_path/'store') == content(undisturbed[0])
    with FeatureStore(tmp_path/'store', mode='a'):
        with pytest.raises(StoreLockedError): extract(pictures, tmp_path/'store')


def test_a_changed_picture_is_computed_again(pictures, undisturbed, tmp_path):
    copies = tmp_path/'pictures'
    shutil.copytree(pictures, copies)
    store = extractor().extract(sorted(copies.iterdir()), tmp_path/'store', progress=False)
    first, second = store.ids[:2]
    before, stat = store[first].copy(), os.stat(first)
    shutil.copy(second, first)
    os.utime(first, ns=(stat.st_atime_ns, stat.st_mtime_ns))   # even with the old time of modification
    store = extractor().extract(sorted(copies.iterdir()), tmp_path/'store', progress=False)
    assert len(store) == PICTURES and np.array_equal(store[first], store[second])
    assert not np.array_equal(store[first], before)


def test_bad_pictures_do_not_stop_the_others(pictures, undisturbed, tmp_path):
    copies = tmp_path/'pictures'
    shutil.copytree(pictures, copies)
    whole = (copies/'003.jpg').read_bytes()
    (copies/'003a.jpg').write_bytes(whole[:len(whole)//2])
    (copies/'003b.jpg').write_text('<html>')
    (copies/'003c.jpg').mkdir()
    os.mkfifo(copies/'003d.jpg')
    (copies/'003e.jpg').symlink_to('nowhere.jpg')
    Image.new('RGB', (10, 10)).save(copies/'003f.jpg')
    with pytest.warns(UserWarning, match='6 of 36 pictures'):
        store = extractor().extract(sorted(copies.iterdir()), tmp_path/'store', progress=False)
    assert len(store) == PICTURES
    assert [Path(id).name for id in sorted(store.errors)] == [f'003{c}.jpg' for c in 'abcdef']
    assert all(id in message for id, message in store.errors.items())
    whole = FeatureStore(undisturbed[0])
    assert all(np.array_equal(store[str(copies/Path(id).name)], whole[id]) for id in whole)
    with pytest.raises(ValueError, match='6 of 36'):
        extractor().extract(sorted(copies.iterdir()), tmp_path/'store', progress=False, strict=True)


def test_another_key_is_refused(pictures, undisturbed):
    other = ChannelStatistics('statistics', size=32, overlapping=0.25)
    with pytest.raises(StoreKeyError, match='overlapping: stored 0.5, asked for 0.25'):
        other.extract(sorted(pictures.iterdir()), undisturbed[0], progress=False)


def test_order_batches_and_threads_do_not_matter(pictures, undisturbed, tmp_path):
    whole, files = FeatureStore(undisturbed[0]), sorted(pictures.iterdir())[::-1]
    for batch_size, decoders in ((1, 1), (64, 4)):
        other = ChannelStatistics('statistics', size=32, overlapping=0.5, batch_size=batch_size)
        store = other.extract(files, tmp_path/f'store{batch_size}', progress=False, decoders=decoders)
        assert store.ids == whole.ids[::-1]
        for id in whole: assert np.array_equal(store[id], whole[id]) and np.array_equal(store.boxes(id), whole.boxes(id))
