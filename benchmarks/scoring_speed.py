"""What a score costs: one picture in a fresh process, and a folder of 512x512 JPEGs end to end.

    python benchmarks/scoring_speed.py [FOLDER] [--pictures 300] [--out benchmarks/results/scoring_speed.json]

The fresh process runs `birnn-iqa score one.jpg` with filled caches, several times; wall and processor time are medians. The
pictures, of FOLDER or made here from example photographs, are scored by `score_files` from decoding to the row on disk, beside
the bare network on one picture in memory, each in f32, in bf16 (where the processor has it) and in int8, in turns and repeated; rates
are medians. Where other programs use the machine too, processor seconds a picture say more than pictures a second: on two idle
cores twice their inverse can be reached at most. Whether bf16 is quicker than f32 depends on the processor: one without AMX
has no faster unit for it.
"""
import argparse
import json
import os

os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')   # as `birnn-iqa score` does, before NumPy is imported
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from birnn_iqa import __version__
from birnn_iqa.distortions import distort
from birnn_iqa.images import example_image, example_names, image_size, resize_image
from birnn_iqa.scoring import Scorer, _streams, list_files, read_table, score_files


def write_pictures(folder, n):
    "So many 512x512 JPEGs, cut from photographs and lightly distorted, all different."
    rng, names = np.random.default_rng(0), [m for m in example_names() if min(example_image(m).shape[:2]) >= 300][:12]
    for i in range(n):
        photo = example_image(names[i % len(names)])
        side = int(rng.integers(256, min(photo.shape[:2]) + 1))
        y, x = (int(rng.integers(0, s - side + 1)) for s in photo.shape[:2])
        image = distort(resize_image(photo[y:y + side, x:x + side], 512, 512), 'gaussian_noise', int(rng.integers(0, 3)), seed=i)
        Image.fromarray(image).save(folder/f'{i:05d}.jpg', quality=int(rng.integers(70, 96)))


def take_pictures(source, folder, n):
    "Links to so many 512x512 JPEGs, spread evenly over a folder."
    files = [f for f in list_files(source, recursive=True) if f.lower().endswith(('.jpg', '.jpeg')) and image_size(f) == (512, 512)]
    if len(files) < n: raise SystemExit(f'{source}: {len(files)} JPEGs of 512x512 pixels; expected at least {n}')
    for i in np.linspace(0, len(files) - 1, n).astype(int): os.symlink(Path(files[i]).resolve(), folder/f'{i:05d}.jpg')


def capabilities():
    "What OpenVINO finds in the processor."
    import openvino
    flags = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    return sorted(openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')) + (['AMX'] if 'amx_bf16' in flags else [])


def precisions(): return ('f32', 'bf16', 'int8') if 'BF16' in capabilities() else ('f32', 'int8')


def used(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def timed(call, who=resource.RUSAGE_SELF):
    "(wall seconds, processor seconds, result)."
    cpu, start = used(who), time.perf_counter()
    result = call()
    return time.perf_counter() - start, used(who) - cpu, result


def fresh_process(path, repeats):
    "Median wall and processor seconds of `birnn-iqa score path`, and whether it imported TensorFlow."
    command = [sys.executable, '-X', 'importtime', '-c', 'import sys; from birnn_iqa.cli import main; sys.exit(main())', 'score', str(path)]
    for _ in range(2): loaded = subprocess.run(command, check=True, capture_output=True, text=True)   # the second finds all caches filled
    assert loaded.stdout.startswith('path,score,') and loaded.stdout.count('\n') == 2, loaded.stdout
    loaded = loaded.stderr
    runs = [timed(lambda: subprocess.run(command[:1] + command[3:], check=True, capture_output=True), resource.RUSAGE_CHILDREN) for _ in range(repeats)]
    wall, cpu = (sorted(r[i] for r in runs) for i in (0, 1))
    return dict(repeats=repeats, wall_s=round(float(np.median(wall)), 3), best_wall_s=round(wall[0], 3), cpu_s=round(float(np.median(cpu)), 3),
                imports_tensorflow=any(line.rstrip().endswith(('| tensorflow', '| keras')) for line in loaded.splitlines()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folder', nargs='?', help='of 512x512 JPEGs; without it they are made from example photographs')
    parser.add_argument('--pictures', type=int, default=300)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results'/'scoring_speed.json')
    args = parser.parse_args()
    result = dict(birnn_iqa=__version__, python=platform.python_version(), cpus=os.cpu_count(), load_before=round(os.getloadavg()[0], 2))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder/'in').mkdir()
        if args.folder: take_pictures(args.folder, folder/'in', args.pictures)
        else: write_pictures(folder/'in', args.pictures)
        first = min((folder/'in').iterdir())
        image = np.asarray(Image.open(first).convert('RGB'))[None]
        scorers, scores = {p: Scorer(precision=p, streams=_streams(args.pictures, None)) for p in precisions()}, {}
        runs = {p: dict(bare=[], end_to_end=[]) for p in scorers}
        for precision, scorer in scorers.items(): scorer.network(image)
        for turn in range(args.repeats):
            for precision, scorer in scorers.items():
                out = folder/f'{precision}-{turn}.csv'
                runs[precision]['end_to_end'].append(timed(lambda: score_files(folder/'in', out=out, model=scorer, progress=False))[:2])
                runs[precision]['bare'].append(timed(lambda: sum(1 for _ in scorer.network.map(image for _ in range(args.pictures))))[:2])
                scores[precision] = np.array([r['score'] for r in read_table(out)])
        for precision, kinds in runs.items():
            for kind, values in kinds.items():
                wall, cpu = np.median(np.array(values)/args.pictures, axis=0)
                result.setdefault(precision, {})[kind] = dict(pictures_per_s=round(1/wall, 1), best_pictures_per_s=round(args.pictures/min(v[0] for v in values), 1), cpu_ms_per_picture=round(1000*cpu, 2))
        for precision in list(scores)[1:]:
            change = np.abs(scores[precision] - scores['f32'])
            result[f'{precision}_score_change'] = dict(mean=round(float(change.mean()), 4), p95=round(float(np.quantile(change, .95)), 4), max=round(float(change.max()), 4))
        result['one_picture_in_a_fresh_process'] = fresh_process(first, 2*args.repeats + 1)
    result.update(pictures=args.pictures, from_folder=bool(args.folder), processor=capabilities(), network=scorers['f32'].network.describe(), load_after=round(os.getloadavg()[0], 2))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + '\n')
    print(json.dumps(result, indent=1))


if __name__ == '__main__': main()
