"""Memory over a long batch: the shipped scorer on as many small files as one likes, in one process.

    python benchmarks/long_run.py [--files 100000] [--threads 1] [--out benchmarks/results/long_run.json]

Sixteen different 64×64 photographs lie in a folder under ever new names (hard links, so that the disk does not matter). The resident
memory is read as the rows of the table pass 100, 1,000, 10,000 and 100,000, and the file is written at each, so that an
interrupted run has told what it had.
"""
import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from birnn_iqa import __version__
from birnn_iqa.images import example_image, example_names, resize_image
from birnn_iqa.scoring import Scorer, score_files


def resident():
    "Resident memory in MiB, now."
    try: return int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/2**20
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform == 'darwin' else 2**10)


def write_files(folder, count):
    originals = []
    for i in range(16):
        image = resize_image(example_image(example_names()[i % 8]), 64, 64)
        path = folder/f'original{i}.jpg'
        Image.fromarray(np.roll(image, 3*i, axis=1)).save(path, quality=85)
        originals.append(path)
    for i in range(count): os.link(originals[i % 16], folder/'batch'/f'{i//1000:03}'/f'{i:06}.jpg')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--files', type=int, default=100_000)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'long_run.json')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for part in range(-(-args.files//1000)): (folder/'batch'/f'{part:03}').mkdir(parents=True)
        write_files(folder, args.files)
        scorer = Scorer(threads=args.threads)
        scorer.network
        start, rows, readings = time.perf_counter(), 0, [dict(files=0, mebibytes=round(resident(), 1), seconds=0)]

        def passed(row):
            nonlocal rows
            rows += 1
            assert not row['error'], row
            if rows in (100, 1000, 10_000, 100_000) or rows == args.files: report()

        def report():
            readings.append(dict(files=rows, mebibytes=round(resident(), 1), seconds=round(time.perf_counter() - start, 1)))
            result = dict(files=args.files, threads=args.threads, pixels='64x64', birnn_iqa=__version__, python=platform.python_version(), cpus=os.cpu_count(), load=os.getloadavg()[0], readings=readings)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(result, indent=1) + '\n')

        counts = score_files(folder/'batch', recursive=True, out=folder/'scores.csv', model=scorer, progress=False, each=passed)
        assert counts.files == args.files and not counts.failed, counts
    print(json.dumps(readings))


if __name__ == '__main__': main()
