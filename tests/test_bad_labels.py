"""Label files and ID lists that are malformed, mistaken or malicious.

Each is accepted where its meaning is plain and otherwise refused by a LabelError with file, row and column; no pickle is run.
BIRNN_IQA_FUZZ=100 makes the fuzzing a hundred times as long.
"""
import codecs
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birnn_iqa import datasets as ds

FUZZ = settings(max_examples=int(150 * float(os.environ.get('BIRNN_IQA_FUZZ', 1))), deadline=None, suppress_health_check=list(HealthCheck))


# Label files whose meaning is plain

ROWS = [('straße 1.jpg', 63.5), ('b.JPG', 20.0), ('c.png', 41.25)]

def spelled(delimiter=',', comma=False, header=('image', 'mos'), end='\n', quote=False, last=True):
    "The same three scores as one or another program would save them."
    def cell(text): return f'"{text}"' if quote else text
    lines = [delimiter.join(map(cell, header))] if header else []
    lines += [delimiter.join((cell(name), cell(str(mos).replace('.', ',') if comma else str(mos)))) for name, mos in ROWS]
    return end.join(lines) + end * last

PLAIN = {
    'as documented': spelled().encode(),
    'byte-order mark': spelled().encode('utf-8-sig'),
    'Windows line ends': spelled(end='\r\n').encode(),
    'old Macintosh line ends': spelled(end='\r').encode(),
    'no last line end': spelled(last=False).encode(),
    'semicolons': spelled(';').encode(),
    'semicolons and decimal commas': spelled(';', True).encode(),
    'tabs': spelled('\t').encode(),
    'tabs and decimal commas': spelled('\t', True).encode(),
    'quoted': spelled(quote=True).encode(),
    'Latin-1': spelled().encode('latin-1'),
    'Windows-1252, semicolons, CRLF': spelled(';', True, end='\r\n').encode('cp1252'),
    'UTF-16 from a spreadsheet': spelled('\t', end='\r\n').encode('utf-16'),
    'sep= line': b'sep=;\r\n' + spelled(';', end='\r\n').encode(),
    'no header': spelled(header=None).encode(),
    'no header, decimal commas': spelled(';', True, None).encode(),
    'KonIQ column names': spelled(header=('image_name', 'MOS_zscore')).encode(),
    'BIQ2021 column names': spelled(header=('Image Name', 'MOS')).encode(),
    'capitals and blanks': spelled(header=(' IMAGE ', ' Mos')).encode(),
    'blank rows': spelled().replace('\n', '\n\n').encode(),
    'trailing commas': spelled().replace('\n', ',,\n').encode(),
    'a column of something else': b'nr,image,what,mos\n' + ''.join(f'{i},{n},x,{m}\n' for i, (n, m) in enumerate(ROWS)).encode(),
    'exponents and plus signs': spelled().replace('20.0', '+2.0e1').encode(),
}

@pytest.fixture
def pictures(tmp_path):
    for name, _ in ROWS: (tmp_path/name).touch()
    return tmp_path

@pytest.mark.parametrize('kind', PLAIN)
def test_plain_meaning_is_read(pictures, kind):
    (pictures/'scores.csv').write_bytes(PLAIN[kind])
    table = ds.from_csv(pictures/'scores.csv')
    assert list(zip(table.image_id, table.mos)) == ROWS and table.attrs['scale'] == (0, 100)
    assert table.path.map(os.path.isfile).all()

def test_pictures_without_labels_are_left_alone(pictures):
    (pictures/'extra.jpg').touch()
    (pictures/'scores.csv').write_bytes(PLAIN['as documented'])
    assert len(ds.from_csv(pictures/'scores.csv')) == 3

def test_names_that_differ_in_case_or_unicode_form_are_found(tmp_path):
    for name in ('A.JPEG', 'cafe\u0301.png'): (tmp_path/name).touch()
    (tmp_path/'s.csv').write_text('image,mos\na.jpeg,1\ncaf\u00e9.png,2\n', encoding='utf-8')
    assert ds.from_csv(tmp_path/'s.csv').path.map(os.path.isfile).all()


# Label files that are refused, and where the fault is said to be

REFUSED = {
    'missing column': ('image,score_of_it\na.jpg,1\n', 1, 'mos', 'missing'),
    'no image column': ('what,mos\na.jpg,1\n', 1, 'image', 'missing'),
    'duplicate row': ('image,mos\na.jpg,1\nb.jpg,2\na.jpg,1\n', 4, 'image', 'already on row 2'),
    'duplicate in another case': ('image,mos\na.jpg,1\nA.JPG,2\n', 3, 'image', 'already on row 2'),
    'NaN': ('image,mos\na.jpg,nan\n', 2, 'mos', 'NaN'),
    'NA': ('image,mos\na.jpg,1\nb.jpg,N/A\n', 3, 'mos', 'NaN'),
    'infinite': ('image,mos\na.jpg,inf\n', 2, 'mos', 'not a number'),
    'overflow': ('image,mos\na.jpg,1e999\n', 2, 'mos', 'finite'),
    'empty score': ('image,mos,std\na.jpg,,1\n', 2, 'mos', 'no value'),
    'empty name': ('image,mos\n,5\n', 2, 'image', 'no picture name'),
    'text in numbers': ('image,mos\na.jpg,12 points\n', 2, 'mos', "'12 points' is not a number"),
    'two decimal signs': ('image;mos\na.jpg;1.234,5\n', 2, 'mos', 'not a number'),
    'thousands': ('image,mos\na.jpg,"1,234"\n', 2, 'mos', 'not a number'),
    'underscore number': ('image,mos\na.jpg,1_0\n', 2, 'mos', 'not a number'),
    'other digits': ('image,mos\na.jpg,\u0663\n', 2, 'mos', 'not a number'),
    'formula': ('image,mos\na.jpg,=1+1\n', 2, 'mos', 'not a number'),
    'one score of another scale': ('image,mos\n' + ''.join(f'{i}.jpg,0.{i}\n' for i in range(1, 30)) + 'x.jpg,63\n', 31, 'mos', 'outside 0 to 1'),
    'negative deviation': ('image,mos,std\na.jpg,1,-2\n', 2, 'std', 'below 0'),
    'text in deviation': ('image,mos,std\na.jpg,1,wide\n', 2, 'std', 'not a number'),
    'unknown split': ('image,mos,split\na.jpg,1,exam\n', 2, 'split', "'exam'"),
    'half the groups': ('image,mos,group\na.jpg,1,g\nb.jpg,2\n', 3, 'group', 'no group'),
    'too many cells': ('image,mos\na.jpg,1,2\n', 2, '', '3 cells under 2 columns'),
}

@pytest.mark.parametrize('kind', REFUSED)
def test_refused_with_row_and_column(tmp_path, kind):
    text, row, column, what = REFUSED[kind]
    (tmp_path/'scores.csv').write_text(text, encoding='utf-8')
    with pytest.raises(ds.LabelError) as caught: ds.from_csv(tmp_path/'scores.csv', check_images=False)
    faults = caught.value.problems
    assert [(p.file, p.row, p.column) for p in faults] == [('scores.csv', row, column)] and what in faults[0].what
    assert 'scores.csv' in str(caught.value)

@pytest.mark.parametrize('raw, why', [(b'', 'empty'), (b'\n\n', 'empty'), (b'\0\1\2', 'zero bytes'), (b'\xff\xfea', 'UTF-16'), (b'image,mos\n"a.jpg,1\n', 'unexpected end'),
                                      (b'image,dmos\na.jpg,1\n', 'better or worse'), (b'image,mos\na.jpg,5000\n', 'no usual scale'), (b'PK\3\4\0', 'zero bytes')])
def test_refused_as_a_whole(tmp_path, raw, why):
    (tmp_path/'scores.csv').write_bytes(raw)
    with pytest.raises(ds.LabelError, match=why) as caught: ds.from_csv(tmp_path/'scores.csv', check_images=False)
    assert 'scores.csv' in str(caught.value)

def test_given_scale_is_held(tmp_path):
    (tmp_path/'s.csv').write_text('image,mos\na.jpg,4\nb.jpg,5.5\nc.jpg,0.5\n')
    with pytest.raises(ds.LabelError) as caught: ds.from_csv(tmp_path/'s.csv', scale=(1, 5), check_images=False)
    assert [p.row for p in caught.value.problems] == [3, 4]

def test_names_without_pictures_are_all_listed(pictures):
    (pictures/'scores.csv').write_text('image,mos\nb.JPG,1\n' + ''.join(f'gone{i}.jpg,{i}\n' for i in range(60)))
    with pytest.raises(ds.LabelError, match='60 problems') as caught: ds.from_csv(pictures/'scores.csv')
    assert [p.row for p in caught.value.problems] == list(range(3, 63)) and '... and 40 more' in str(caught.value)

def test_every_fault_is_told_at_once(tmp_path):
    (tmp_path/'s.csv').write_text('image,mos\na.jpg,x\nb.jpg,nan\na.jpg,3\n,4\n')
    with pytest.raises(ds.LabelError) as caught: ds.from_csv(tmp_path/'s.csv')
    assert sorted({p.row for p in caught.value.problems}) == [2, 3, 4, 5]

@pytest.mark.parametrize('make', ['missing', 'folder', 'fifo'])
def test_what_is_no_file_is_refused(tmp_path, make):
    path = tmp_path/'s.csv'
    if make == 'folder': path.mkdir()
    if make == 'fifo': os.mkfifo(path)
    for read in (ds.from_csv, ds.read_ids, ds.read_delimited):
        with pytest.raises(ds.LabelError, match='s.csv'): read(path)


# Pickles that would run something

class Calls:
    "Pickles as a call of any function, which loading would make."
    def __init__(self, function, *args): self.function, self.args = function, args
    def __reduce__(self): return self.function, self.args

class State:
    "Pickles as an object whose state is set on loading."
    def __init__(self): self.x = 1

def text(value): return b'\x8c' + bytes([len(value)]) + value.encode()
def stack_global(module, name): return text(module) + text(name) + b'\x93'

def malicious(canary):
    "Every malicious pickle: name -> bytes. Each would make the canary file if it were loaded, or load something that could."
    shell = f'touch {canary}'
    calls = {
        'os.system': Calls(os.system, shell), 'os.popen': Calls(os.popen, shell), 'subprocess.Popen': Calls(subprocess.Popen, ['touch', str(canary)]),
        'subprocess.check_output': Calls(subprocess.check_output, ['touch', str(canary)]), 'builtins.eval': Calls(eval, f'open({str(canary)!r}, "w")'),
        'builtins.exec': Calls(exec, f'open({str(canary)!r}, "w")'), 'builtins.open': Calls(open, str(canary), 'w'), 'builtins.__import__': Calls(__import__, 'antigravity'),
        'builtins.compile': Calls(compile, '1', 'x', 'eval'), 'builtins.getattr': Calls(getattr, 'x', 'upper'),
        'getattr chain': Calls(getattr, Calls(getattr, Calls(__import__, 'os'), 'system'), '__call__'), 'builtins.map': Calls(map, os.system, [shell]),
        'builtins.list': Calls(list, Calls(map, os.system, [shell])), 'io.open': Calls(io.open, str(canary), 'w'), 'os.remove': Calls(os.remove, str(canary)),
        'numpy.load': Calls(np.load, str(canary)), 'numpy.fromfile': Calls(np.fromfile, str(canary)), 'numpy.save': Calls(np.save, str(canary), 1),
        'numpy.testing runstring': Calls(np.testing.runstring, f'open({str(canary)!r}, "w")', {}), 'numpy.ndarray': Calls(np.ndarray, (1,)),
        'numpy.frombuffer': Calls(np.frombuffer, b'1234'), 'pickle.loads': Calls(pickle.loads, pickle.dumps(Calls(os.system, shell))), 'sys.exit': Calls(sys.exit, 0),
        'bytearray': Calls(bytearray, 10**9), 'builtins.complex': 1j, 'an object': State(), 'a class': State, 'a function': os.system, 'a range': range(10**9),
        'object array': np.array([Calls(os.system, shell)], dtype=object), 'structured array': np.zeros(2, [('a', 'f4')]),
        'in a list': ['a.jpg', Calls(os.system, shell)], 'in a dict': {'a.jpg': Calls(os.system, shell)}, 'as a key': {('a', Calls(os.system, shell)): 1},
    }
    corpus = {f'{name}, protocol {p}': pickle.dumps(value, p) for name, value in calls.items() for p in range(6)}
    python2 = f"cposix\nsystem\n(S'{shell}'\ntR.".encode()
    head = b'\x80\x04'
    corpus |= {
        'Python 2 os.system': python2, 'Python 2 nt.system': python2.replace(b'posix', b'nt'), 'after a good list': pickle.dumps(['a.jpg'])[:-1] + b'0' + python2[:-1] + b'.',
        'INST': f"(S'{shell}'\nios\nsystem\n.".encode(), 'OBJ': f"(cos\nsystem\nS'{shell}'\no.".encode(), 'NEWOBJ': b'cbuiltins\nset\n)\x81.',
        'NEWOBJ of os': b'cos\nsystem\n(S"true"\nt\x81.', 'NEWOBJ_EX': head + stack_global('os', 'system') + b')}\x92.', 'EXT1': b'\x82\x01.', 'EXT2': b'\x83\x01\x00.',
        'EXT4': b'\x84\x01\x00\x00\x00.', 'PERSID': b'Pid\n.', 'BINPERSID': b'K\x01Q.', 'STACK_GLOBAL': head + stack_global('os', 'system') + text(shell) + b'\x85R.',
        'STACK_GLOBAL from memo': head + text('os') + b'\x940' + text('system') + b'\x940h\x00h\x01\x93' + text(shell) + b'\x85R.',
        'dotted name': head + stack_global('numpy', 'ndarray.__class__.__subclasses__') + b')R.', 'dotted dtype': head + stack_global('numpy', 'dtype.__init_subclass__') + b')R.',
        'blank in name': head + stack_global('numpy dtype', '') + b')R.', 'module with a space': head + stack_global('os system', 'x') + b')R.',
        'STACK_GLOBAL of numbers': b'\x80\x04K\x01K\x02\x93.', 'REDUCE of a string': head + text('x') + b')R.', 'REDUCE without tuple': b'cbuiltins\nset\n]R.',
        'BUILD on a list': b']}b.', 'BUILD on a dict': b'}}b.', 'BUILD on a function': b'cnumpy\ndtype\n}b.', 'bare function': b'cnumpy\ndtype\n.', 'dtype of a record': b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR.",
        'reconstruct of a class': b'cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\n(I0\ntS"b"\ntR.', 'reconstruct without state': b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS"b"\ntR.',
        'scalar of an object': b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\nI00\nI01\ntRS'x'\ntR.", 'encode by another codec': b"c_codecs\nencode\n(Vx\nVrot13\ntR.".replace(b'encode', b'decode'),
        'ctypes': b"cctypes\nCDLL\n(S'libc.so.6'\ntR.", 'numpy.core._internal': b'cnumpy.core._internal\n_ctypes\n.', 'numpy.ctypeslib': b"cnumpy.ctypeslib\nload_library\n(S'x'\nS'y'\ntR.",
        'numpy.f2py': b"cnumpy.f2py\ncompile\n(S'x'\ntR.", 'numpy.distutils': b"cnumpy.distutils.exec_command\nexec_command\n(S'true'\ntR.", 'importlib': b"cimportlib\nimport_module\n(S'os'\ntR.",
        'runpy': b"crunpy\n_run_code\n(S'1'\n}tR.", 'operator.methodcaller': b"coperator\nmethodcaller\n(S'x'\ntR.", 'functools.partial': b'cfunctools\npartial\n(cos\nsystem\ntR.',
        'copyreg': b'ccopyreg\n_reconstructor\n(cos\nstat_result\nc__builtin__\nobject\nNtR.', 'OrderedDict': b'ccollections\nOrderedDict\n)R.', 'torch': b'ctorch._utils\n_rebuild_tensor_v2\n)R.',
        'pandas': b'cpandas.io.pickle\nread_pickle\n(S"x"\ntR.', 'joblib': b'cjoblib.numpy_pickle\nload\n(S"x"\ntR.', 'timeit': b'ctimeit\ntimeit\n(S"1"\ntR.',
    }
    return corpus

watched, events = False, []
def hook(event, args):
    if watched and (event.split('.')[0] in ('exec', 'compile', 'import', 'subprocess', 'ctypes', 'pickle', 'socket', 'shutil') or event in ('os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'os.remove')):
        events.append((event, str(args)[:80]))
sys.addaudithook(hook)
for codec in ('raw_unicode_escape', 'unicode_escape', 'latin1', 'ascii', 'utf-8'): codecs.lookup(codec)  # Python imports them at their first use

def read_watched(path):
    "Read a pickle while Python's own audit events are watched: running or importing anything would be one."
    global watched
    events.clear()
    watched = True
    try: return ds.read_pickle(path)
    finally: watched = False

def test_the_watch_sees_what_loading_runs(tmp_path):
    global watched
    events.clear()
    watched = True
    try: pickle.loads(pickle.dumps(Calls(eval, '1')))
    finally: watched = False
    assert {'pickle.find_class', 'exec'} <= {e for e, _ in events}

def test_no_malicious_pickle_runs(tmp_path):
    canary, path = tmp_path/'canary', tmp_path/'IDs.pickle'
    corpus = malicious(canary)
    assert len(corpus) >= 200
    for name, raw in corpus.items():
        path.write_bytes(raw)
        with pytest.raises(ds.UnsafePickleError, match='IDs.pickle') as caught: read_watched(path)
        assert not events and not canary.exists(), name
        for entry in ('os.system', 'subprocess.Popen', 'numpy.load', 'builtins.eval'):
            if name.startswith(entry): assert entry.split('.')[-1] in str(caught.value)

def test_generator_refuses_it_too(tmp_path):
    pytest.importorskip('keras')
    from birnn_iqa.generator import DataGenerator
    (tmp_path/'IDs_train.pickle').write_bytes(pickle.dumps([Calls(os.system, f'touch {tmp_path}/canary')]))
    with pytest.raises(ds.UnsafePickleError, match='system'): DataGenerator(list_IDs_path=tmp_path/'IDs.pickle', db_path=tmp_path)
    assert not (tmp_path/'canary').exists()


# Pickles that would fill the memory or never end

def bombs():
    laughs = ['ha'] * 10
    for _ in range(30): laughs = [laughs] * 10
    cycle = []
    cycle.append(cycle)
    nested = b'\x85' * 500_000
    big = np.zeros(2_000_000, 'u1')
    dtype = b"cnumpy\ndtype\n(S'U1'\nI00\nI01\ntR"
    array = b'\x80\x04cnumpy.core.numeric\n_frombuffer\n(C\x00%s%sS"C"\ntR.'
    yield 'billion laughs, deep', pickle.dumps(laughs)
    yield 'billion laughs, wide', pickle.dumps([[[['ha'] * 2000] * 2000] * 2000] * 2000)
    yield 'a list in itself', pickle.dumps(cycle)
    yield 'deep tuples', b')' + nested + b'.'
    yield 'deep lists', b']' * 500_000 + b'a' * 499_999 + b'.'
    yield 'deep tuple as key', b'})' + nested + b'K\x01s.'
    yield 'huge memo slot', b'\x80\x04]r\xff\xff\xff\x7f.' + b''
    yield 'huge memo slots', b'\x80\x04]' + b''.join(b'r' + struct.pack('<I', 2**31 - 1 - i) for i in range(1000)) + b'\x85.'
    yield 'promised bytes', b'\x80\x04\x8e' + struct.pack('<Q', 2**40) + b'x.'
    yield 'promised text', b'\x80\x04\x8d' + struct.pack('<Q', 2**62) + b'x.'
    yield 'promised frame', b'\x80\x04\x95' + struct.pack('<Q', 2**60) + b'K'
    yield 'array repeated', pickle.dumps([big] * 1000, 4)
    yield 'bytes repeated', pickle.dumps([b'x' * 2_000_000] * 100_000, 4)
    yield 'encodings repeated', b'\x80\x04c_codecs\nencode\n\x940\x8d' + struct.pack('<Q', 2_000_000) + b'x' * 2_000_000 + b'\x940(' + b'h\x00h\x01\x85R' * 100_000 + b'l.'
    yield 'sets of a set', b'\x80\x04](' + b'K\x01' * 500_000 + b'e\x940cbuiltins\nset\n\x940(' + b'h\x01h\x00\x85R' * 200_000 + b'l.'
    yield 'array of nothing', array % (dtype.replace(b'U1', b'U0'), b'(I1000000000000\nt')
    yield 'array with no end', array % (dtype, b'(I1000000000000\nt')
    yield 'array of 10^18 empties', array % (dtype, b'(I0\nI1000000000000000000\nt') + b'.'
    yield 'many dimensions', array % (dtype, b'(' + b'I1\n' * 100_000 + b't')
    yield 'long number', b'I' + b'9' * 1_000_000 + b'\n.'
    yield 'long binary number', b'\x8b' + struct.pack('<i', 1_000_000) + b'\x7f' * 1_000_000 + b'.'
    yield 'many marks', b'(' * 2_000_000 + b'.'
    yield 'marks and tuples', b'K\x01' * 200_000 + b'(t0' * 500_000 + b'.'
    yield 'marks far apart', b'K\x01' * 1_000_000 + b'(t' * 900_000 + b'.'
    yield 'too many instructions', b'(' + b'N' * 5_000_000 + b'l.'

READ_ALL = """
import json, resource, sys
from pathlib import Path
from birnn_iqa import datasets as ds
used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 800 * 2**20,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
outcomes = {}
for path in sorted(Path(sys.argv[1]).glob('*.pickle')):
    try: outcomes[path.stem] = repr(ds.read_pickle(path))
    except ds.UnsafePickleError as error: outcomes[path.stem] = type(error).__name__ if path.name in str(error) else str(error)
print(json.dumps(outcomes))
"""

@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='needs /proc and memory limits')
def test_bombs_stay_below_800_mebibytes(tmp_path):
    names = [name for name, raw in bombs() if (tmp_path/f'{name}.pickle').write_bytes(raw)]
    child = subprocess.run([sys.executable, '-c', READ_ALL, tmp_path], capture_output=True, text=True)
    assert child.returncode == 0, child.stderr[-2000:]
    harmless = {'huge memo slot': '[]', 'huge memo slots': '([],)', 'array of 10^18 empties': '[]', 'marks and tuples': '1', 'marks far apart': '()'}  # plain data in the end
    assert json.loads(child.stdout) == {name: harmless.get(name, 'UnsafePickleError') for name in names}

def test_too_large_a_file_is_not_read(tmp_path):
    path = tmp_path/'IDs.pickle'
    with path.open('wb') as file: file.truncate(2**40)
    with pytest.raises(ds.LabelError, match='at most'): ds.read_pickle(path)

@pytest.mark.parametrize('text', ['[' * 100_000, '{"a":' * 100_000, '[1e999, ' + '9' * 5000 + ']', '{"a": 1, "a": 2}', '[NaN', 'nul'])
def test_json_that_is_refused(tmp_path, text):
    (tmp_path/'ids.json').write_text(text)
    with pytest.raises(ds.LabelError, match='ids.json'): ds.read_ids(tmp_path/'ids.json')

def test_csv_field_without_end(tmp_path):
    (tmp_path/'ids.csv').write_text('image,mos\n"' + 'x' * 1_000_000 + '",1\n')
    with pytest.raises(ds.LabelError, match='ids.csv'): ds.read_ids(tmp_path/'ids.csv')


def test_compressed_mat_bombs(tmp_path):
    head = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM'
    def element(kind, data): return struct.pack('<II', kind, len(data)) + data
    large, inside = zlib.compress(bytes(80 * 2**20)), zlib.compress(element(15, zlib.compress(element(15, zlib.compress(b'x' * 99)))))
    for body in (element(15, large), element(15, inside), element(15, zlib.compress(bytes(10 * 2**20))) * 50, element(14, b'') * 10, b'\xff' * 64):
        (tmp_path/'dmos.mat').write_bytes(head + body)
        with pytest.raises(ds.LabelError, match='dmos.mat'): ds.read_mat(tmp_path/'dmos.mat', 'dmos')


# Fuzzing: whatever comes, a result or a LabelError

plain = st.recursive(st.none() | st.booleans() | st.integers(-2**900, 2**900) | st.floats(allow_nan=False) | st.text() , lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(-2**900, 2**900), inner), max_leaves=20)

@FUZZ
@given(plain, st.integers(0, 5))
def test_plain_data_is_read_as_pickle_reads_it(tmp_path_factory, value, protocol):
    path = tmp_path_factory.getbasetemp()/'plain.pickle'
    path.write_bytes(pickle.dumps(value, protocol))
    assert ds.read_pickle(path) == value

@FUZZ
@given(st.data())
def test_damaged_pickles_are_read_or_refused(tmp_path_factory, data):
    good = [pickle.dumps(v, p) for p in (0, 2, 4, 5) for v in (['a.jpg', 1], {'a': 2.5}, np.arange(3.), np.array(['a', 'b']), np.float64(2))]
    raw = bytearray(data.draw(st.sampled_from(good)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, max(len(raw) - 1, 0)))
        change = data.draw(st.sampled_from(['set', 'drop', 'add', 'cut']))
        if change == 'set' and raw: raw[at] = data.draw(st.integers(0, 255))
        elif change == 'drop': del raw[at:at + 1]
        elif change == 'add': raw[at:at] = data.draw(st.binary(max_size=8))
        else: del raw[at:]
    path = tmp_path_factory.getbasetemp()/'damaged.pickle'
    path.write_bytes(raw)
    try: read_watched(path)
    except ds.LabelError: pass
    assert not events

@FUZZ
@given(st.binary(max_size=200) | st.lists(st.sampled_from(sorted(b'()]}.0123lbtsuaeRKINVcopqrhjgd\x80\x81\x82\x85\x86\x87\x8c\x8f\x90\x91\x92\x93\x94\n')), max_size=80).map(bytes))
def test_random_pickles_are_read_or_refused(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp()/'random.pickle'
    path.write_bytes(raw)
    try: read_watched(path)
    except ds.LabelError: pass
    assert not events

cells = st.text('ab.jpg0123456789,;\t"\r\n -+eE\u00e4\x00=', max_size=12)

@FUZZ
@given(st.lists(st.lists(cells, max_size=4), max_size=8), st.sampled_from(',;\t'), st.sampled_from(['utf-8', 'utf-8-sig', 'latin-1', 'utf-16']), st.sampled_from(['image,mos\n', 'image;mos;std\n', '']))
def test_any_text_is_read_or_refused(tmp_path_factory, rows, delimiter, encoding, header):
    folder = tmp_path_factory.getbasetemp()
    raw = (header + '\n'.join(delimiter.join(row) for row in rows)).encode(encoding)
    for name, read in (('fuzz.csv', lambda p: ds.from_csv(p, check_images=False)), ('fuzz.csv', ds.from_csv), ('fuzz.csv', ds.read_scores), ('fuzz.txt', ds.read_scores),
                       ('fuzz.txt', ds.read_ids), ('fuzz.json', ds.read_ids)):
        (folder/name).write_bytes(raw)
        try: read(folder/name)
        except ds.LabelError as error: assert name in str(error)

@FUZZ
@given(st.data())
def test_damaged_mat_files_are_read_or_refused(tmp_path_factory, data):
    import scipy.io
    root = tmp_path_factory.getbasetemp()/'itw'
    (root/'Data').mkdir(parents=True, exist_ok=True)
    names = np.empty((3, 1), object)
    names[:, 0] = ['a.bmp', 'b.JPG', 'c.JPG']
    for key, value in (('AllImages_release', names), ('AllMOS_release', np.array([[50., 60, 70]])), ('AllStdDev_release', np.ones((1, 3)))):
        scipy.io.savemat(root/'Data'/f'{key}.mat', {key: value})
    victim = root/'Data'/f"{data.draw(st.sampled_from(['AllImages_release', 'AllMOS_release']))}.mat"
    raw = bytearray(victim.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))): raw[data.draw(st.integers(116, len(raw) - 1))] = data.draw(st.integers(0, 255))
    victim.write_bytes(raw[:data.draw(st.integers(len(raw) - 60, len(raw)))])
    try: assert len(ds.live_itw(root, check_images=False)) <= 3
    except ds.LabelError: pass
