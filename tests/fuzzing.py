"""Targets for fuzzing: functions of arbitrary bytes that must return, or raise what they promise, and run nothing.

`test_fuzz.py` feeds them a few hundred inputs from Hypothesis at every commit; `scripts/fuzz.py` feeds them millions, guided by
coverage where atheris is installed.
"""
import codecs
import io
import pickle
import struct
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from birnn_iqa import datasets as ds
from birnn_iqa.images import ImageError, image_size, load_image
from birnn_iqa.patches import MAX_ENLARGED, ORDERS, cut, fit_patch, patch_grid

FOLDER = Path(tempfile.mkdtemp(prefix='birnn_iqa-fuzz-'))
WATCHED = {'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'os.remove', 'os.rename', 'subprocess.Popen', 'socket.connect', 'ctypes.dlopen', 'shutil.rmtree', 'exec', 'compile', 'pickle.find_class', 'import'}
seen, watching = [], []


def _hook(event, args):
    if watching and event in watching[-1]: seen.append((event, str(args)[:200]))


sys.addaudithook(_hook)
for codec in ('raw_unicode_escape', 'unicode_escape', 'latin1', 'ascii', 'utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'cp1252', 'mac-roman', 'idna'): codecs.lookup(codec)   # Python imports them at their first use


class Watch:
    "Python's own audit events of running, importing, removing or connecting, while it is open, are failures."
    def __init__(self, *allowed): self.events = WATCHED.difference(allowed)
    def __enter__(self):
        seen.clear()
        watching.append(self.events)
    def __exit__(self, kind, *error):
        watching.pop()
        assert not seen, seen


def _file(name, raw):
    path = FOLDER/name
    path.write_bytes(raw)
    return path


def ids(raw):
    "ID lists as pickle, JSON, CSV and text; score lists too."
    for kind in ('.pickle', '.json', '.csv', '.txt'):
        path = _file(f'ids{kind}', raw)
        for read in (ds.read_ids, ds.read_scores):
            try:
                with Watch(): found = read(path)
            except ds.LabelError as error: assert path.name in str(error)
            else: assert found and all(isinstance(name, str) for name in found)


def labels(raw):
    "A table of scores, with and without its pictures."
    path = _file('labels.csv', raw)
    for check in (False, True):
        try: table = ds.from_csv(path, images=FOLDER, check_images=check)
        except ds.LabelError as error: assert path.name in str(error)
        else: assert len(table) and np.isfinite(table.mos).all() and table.image_id.is_unique


def torch(raw):
    "PyTorch's legacy file of weights."
    from birnn_iqa.backbones import WeightsError, read_torch_weights
    path = _file('weights.pth', raw)
    try:
        with Watch('pickle.find_class'): tensors = read_torch_weights(path)
    except WeightsError as error: assert path.name in str(error)
    else: assert all(isinstance(a, np.ndarray) and a.dtype != object and a.size <= 8*len(raw) for a in tensors.values())


def image(raw):
    "A picture, from bytes and from a file."
    path = _file('picture', raw)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        results = []
        for source in (path, raw):
            try: results.append(load_image(source, 2**22))
            except ImageError as error:
                assert str(error).isprintable() and ('picture' in str(error) if source is path else True)
                results.append(None)
        pixels, again = results
        assert (pixels is None) == (again is None)
        if pixels is None: return
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and np.array_equal(pixels, again)
        assert image_size(path) == pixels.shape[:2]


def grid(raw):
    "A grid covers the picture, stays inside it, and steps as asked, whatever the sizes."
    height, width, h, w, overlap, order = struct.unpack('<HHHHHB', raw[:11].ljust(11, b'\1'))
    height, width, h, w, overlapping, order = height % 300, width % 300, h % 120, w % 120, overlap/40_000, ORDERS[order % 3]
    try: boxes = patch_grid(height, width, (h, w), overlapping, order)
    except ValueError: assert h < 1 or w < 1 or overlapping >= 1 or height < h or width < w; return
    assert boxes.min() >= 0 and (boxes[:, 2:] <= (height, width)).all() and (boxes[:, 2:] - boxes[:, :2] == (h, w)).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    for axis, side in ((0, height), (1, width)):
        covered = np.zeros(side, bool)
        for start, end in np.unique(boxes[:, axis::2], axis=0): covered[start:end] = True
        assert covered.all()
    if len(boxes) > 400: return
    pixels = np.arange(height*width, dtype=np.uint32).reshape(height, width)
    assert np.array_equal(cut(pixels, boxes)[:, 0, 0], pixels[boxes[:, 0], boxes[:, 1]])


def enlarged(raw):
    "A small picture is enlarged until a patch fits, or refused; never beyond the limit."
    height, width, h, w = struct.unpack('<HHHH', raw[:8].ljust(8, b'\1'))
    height, width, h, w = 1 + height % 20, 1 + width % 3000, 1 + h % 90, 1 + w % 90
    pixels = np.zeros((height, width, 3), np.uint8)
    try: large = fit_patch(pixels, (h, w))
    except ValueError: assert max(h/height, w/width)**2*height*width > .9*MAX_ENLARGED
    else: assert large.shape[0] >= h and large.shape[1] >= w and large.size <= 3*MAX_ENLARGED


def store_index(raw):
    "The index of a feature store: whole records or none, never beyond what was read."
    from birnn_iqa.features import read_index
    records, end, damaged = read_index(raw)
    assert 0 <= end <= len(raw) and len(records) + len(damaged) <= raw.count(b'\n')


def score_table(raw):
    "An interrupted table of scores."
    from birnn_iqa.scoring import COLUMNS, _read_rows
    for row, end in _read_rows(_file('scores.csv', raw)): assert len(row) == len(COLUMNS) and 0 < end <= len(raw)


TARGETS = dict(ids=ids, labels=labels, torch=torch, image=image, grid=grid, enlarged=enlarged, store_index=store_index, score_table=score_table)


# What to begin from

def _encoded(pixels, format, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def _torch_file():
    "A small legacy PyTorch file, written by hand."
    def text(value): return b'X' + struct.pack('<I', len(value)) + value.encode()
    def tensor(key, count, shape):
        storage = b'(' + text('storage') + b'ctorch\nFloatStorage\n' + text(key) + text('cpu') + b'J' + struct.pack('<i', count) + b'Nt' + b'Q'
        sizes = b'(' + b''.join(b'J' + struct.pack('<i', n) for n in shape) + b't'
        steps = b'(' + b''.join(b'J' + struct.pack('<i', int(np.prod(shape[i + 1:]))) for i in range(len(shape))) + b't'
        return b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + b'K\0' + sizes + steps + b'\x89ccollections\nOrderedDict\n)Rt' + b'R'
    state = b'\x80\x02ccollections\nOrderedDict\n)R(' + text('a.weight') + tensor('1', 6, (2, 3)) + text('b.bias') + tensor('2', 2, (2,)) + b'u.'
    raw = b''.join(pickle.dumps(part, 2) for part in (0x1950a86a20f9469cfc6c, 1001, dict(little_endian=True))) + state + pickle.dumps(['1', '2'], 2)
    for values in (np.arange(6.), np.ones(2)): raw += struct.pack('<Q', len(values)) + values.astype('<f4').tobytes()
    return raw


def seeds(target):
    "Good inputs of a target, to be damaged."
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    if target == 'ids':
        plain = ['a.jpg', 'b.jpg'], {'a.jpg': 2.5, 'b.jpg': 3}, np.array(['a', 'b'])
        return [pickle.dumps(v, p) for v in plain for p in (0, 2, 4, 5)] + [b'["a", "b"]', b'{"a": 1, "b": [1, 2]}', b'image,mos\na.jpg,1\nb.jpg,2\n', b'a.jpg 1\nb.jpg 2\n']
    if target == 'labels': return [b'image,mos\na.jpg,1\nb.jpg,2\n', b'image;mos;std\n"a;b.jpg";1,5;0,2\n', 'image\tmos\nä.jpg\t3\n'.encode('utf-16'), b'\xef\xbb\xbfimage,mos,split,group\r\na.jpg,1,train,x\r\nb.jpg,2,test,y\r\n']
    if target == 'torch': return [_torch_file()]
    if target == 'image':
        tiff = io.BytesIO()
        tifffile.imwrite(tiff, pixels.astype(np.float32)/255, photometric='rgb')
        exif = Image.Exif(); exif[0x0112] = 6
        return [_encoded(pixels, f, **o) for f, o in (('JPEG', dict(exif=exif)), ('JPEG', dict(progressive=True)), ('PNG', {}), ('WEBP', {}), ('WEBP', dict(lossless=True)), ('TIFF', {}),
                                                      ('TIFF', dict(compression='tiff_lzw')), ('TIFF', dict(compression='jpeg')), ('BMP', {}), ('GIF', {}), ('PPM', {}))] + [tiff.getvalue()]
    if target == 'store_index':
        from birnn_iqa.features import Record, index_line
        sealed = [b'%08x %s\n' % (zlib.crc32(body), body) for body in (b'{"id":"a",*', b'[]', b'{"id":3,"at":-1,"patches":1,"width":1,"crc":0,"content":"","stat":[]}')]   # found by fuzzing
        return [b''.join(index_line(Record(f'{i}.jpg', 64*i, 2, 3, 5, 'ab', (1, 2, 3))) for i in range(3)), *sealed]
    if target == 'score_table': return [b'path,score,std,width,height,patches,seconds,error\na.jpg,50.0000,8.000,64,64,1,0.0100,\n"b\n,.jpg",,,,,,,"no ""picture"""\n']
    return [struct.pack('<HHHHHB', 184, 212, 96, 96, 20_000, 0), struct.pack('<HHHHHB', 130, 250, 100, 50, 39_000, 2)]


def damage(rng, raw, corpus):
    "A seed with a few bytes set, dropped, doubled, cut off or taken from another."
    raw = bytearray(raw)
    for _ in range(int(rng.integers(1, 8))):
        at, kind, n = int(rng.integers(0, len(raw) + 1)), rng.integers(7), int(2**rng.uniform(0, 6))
        if kind == 0 and at < len(raw): raw[at] = int(rng.integers(256))
        elif kind == 1 and at < len(raw): raw[at] ^= 1 << int(rng.integers(8))
        elif kind == 2: del raw[at:at + n]
        elif kind == 3: raw[at:at] = rng.bytes(n)
        elif kind == 4: raw[at:at] = raw[at:at + n]*int(rng.integers(1, 9))
        elif kind == 5 and rng.integers(4) == 0: del raw[at:]
        elif kind == 6:
            other = corpus[int(rng.integers(len(corpus)))]
            start = int(rng.integers(len(other)))
            raw[at:at + n] = other[start:start + n]
    if rng.integers(4) == 0 and len(raw) > 4:   # numbers at the ends of their ranges
        at, value = int(rng.integers(len(raw) - 3)), [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff][int(rng.integers(8))]
        raw[at:at + 4] = struct.pack('<I' if rng.integers(2) else '>I', value)
    return bytes(raw)
