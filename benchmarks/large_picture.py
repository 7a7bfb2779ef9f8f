"""Memory and time that a very large picture takes.

    python benchmarks/large_picture.py [--sizes 8660x11547 20000x30000] [--out benchmarks/results/large_picture.json]

Writes a picture of noise over a photograph as JPEG, PNG and TIFF, scores each in a fresh process and notes that process' peak
resident memory and time. The scores of the two lossless files must agree. The larger size is beyond what a scorer takes by itself
(200 megapixels): it is asked with max_pixels.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from birnn_iqa import __version__
from birnn_iqa.images import example_image, resize_image

CHILD = r"""
import json, pathlib, re, resource, sys, time
from birnn_iqa.scoring import Scorer
def peak():
    status = pathlib.Path('/proc/self/status')   # getrusage would count what the parent held before this program began
    if status.exists(): return int(re.search(r'VmHWM:\s+(\d+) kB', status.read_text())[1])/1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(2**20 if sys.platform == 'darwin' else 2**10)
scorer = Scorer(max_pixels=10**9)
scorer.network
before, start = peak(), time.perf_counter()
result = scorer(sys.argv[1])
print(json.dumps(dict(score=result.score, seconds=round(time.perf_counter() - start, 3), peak_mib=round(peak(), 1),
                      before_mib=round(before, 1), map_shape=list(result.map(2000).shape))))
"""


def picture(height, width):
    "A photograph enlarged, with noise over it, made strip by strip."
    image, rng = resize_image(example_image('coffee'), height, width), np.random.default_rng(0)
    for y in range(0, height, 256):
        strip = image[y:y + 256]
        strip[...] = np.clip(strip + rng.normal(0, 4, strip.shape[:2])[..., None], 0, 255).astype(np.uint8)
    return image


def measure(height, width):
    "What each format of one picture takes."
    results, image = {}, picture(height, width)
    with tempfile.TemporaryDirectory() as folder:
        for format, options in dict(JPEG=dict(quality=90), PNG=dict(compress_level=1), TIFF={}).items():
            path = Path(folder)/f'large.{format.lower()}'
            Image.fromarray(image).save(path, format, **options)
        del image
        for path in sorted(Path(folder).iterdir()):
            out = subprocess.run([sys.executable, '-c', CHILD, str(path)], check=True, capture_output=True, text=True, env=os.environ).stdout
            results[path.suffix[1:].upper()] = dict(file_mib=round(path.stat().st_size/2**20, 1), **json.loads(out.splitlines()[-1]))
    assert abs(results['PNG']['score'] - results['TIFF']['score']) < .01, results
    return dict(height=height, width=width, formats=results)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--sizes', nargs='+', default=['8660x11547', '20000x30000'], help='height x width, pixels')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'large_picture.json')
    args = parser.parse_args()
    result = dict(birnn_iqa=__version__, python=platform.python_version(), cpus=os.cpu_count(), load=os.getloadavg()[0],
                  pictures=[measure(*map(int, size.split('x'))) for size in args.sizes])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))


if __name__ == '__main__': main()
