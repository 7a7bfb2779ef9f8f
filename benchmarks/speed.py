"""How fast features come, beside the published notebook's path in the same run; the pipeline; the store; the start.

    python benchmarks/speed.py [--pictures FOLDER] [--live_itw FOLDER [--features FOLDER]]
                               [--only rates modes pipeline head splits start figure] [--repeats 5] [--out benchmarks/results]

rates     Decoded 512x384 pictures to features at overlap .5 (12 patches), by ResNet50 and EfficientNet-Lite0: the published
          notebook's path (Keras, TimeDistributed, a picture a batch, float32), then patch mode and dense mode by engine and
          precision. Beside them the operations a patch takes and the rates of plain matrix products, the machine's peak; and how far
          each one's features are from those of Keras in float32. ResNet50 has random weights here (its trained ones are a download):
          speed does not depend on them, and the price of a precision is therefore read at EfficientNet-Lite0, whose weights are trained.
modes     Seconds for a decoded 500x500 picture by mode, overlap, engine and precision: the cost side of the figure.
pipeline  512x512 JPEGs to a store on disk, beside the bare network on batches in memory. FOLDER's pictures are taken as they are if
          they have that size and resized otherwise; without FOLDER they are cut from the photographs that other packages ship.
head      A training step of the Bi-RNN of 2x128 GRU units on stored features, beside the least time that its multiply-adds would take.
splits    Two splits of LIVE In the Wild trained one after the other and side by side, by head and number of epochs, through
          `run_benchmark`; what is side by side includes the start of the workers. Needs --live_itw, the database's folder. Its
          features are computed first, or taken from --features, the `features` folder of a benchmark in dense mode.
start     Opening a store of 10,000 pictures, `import birnn_iqa` and `birnn-iqa --help`, each in fresh processes.
figure    Accuracy (benchmarks/accuracy_modes.py) against cost.

After a warm-up the contestants take turns; medians over the turns are written, and ratios are medians of the ratios within a turn, so
that a busy machine slows both sides. Each part is written to speed.json as it ends, with the load of the machine before and after.
Processor seconds (all threads together) stand beside the clock's: they hardly feel what else the machine is doing.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from nss_speed import machine
from PIL import Image

from birnn_iqa.backbones import Base_Model, preprocess_input
from birnn_iqa.features import FeatureExtractor, FeatureStore, Source, cut_into_batches
from birnn_iqa.images import example_image, example_names, load_image, resize_image
from birnn_iqa.patches import image_patches

PARTS = 'rates', 'modes', 'pipeline', 'head', 'splits', 'start', 'figure'
NETWORKS = {'resnet': dict(weights=None, features='avg'), 'efficientnet_lite0': dict(weights='imagenet', features='multilevel')}
WAYS = [(mode, overlap) for mode in ('dense', 'patches') for overlap in (0., .5, .75)]
LITES = {'efficientnet_lite0': WAYS, 'efficientnet_lite1': [('dense', .5)], 'efficientnet_lite2': [('dense', .5)]}
ENGINES = ('keras', 'f32'), ('openvino', 'f32'), ('openvino', 'bf16'), ('openvino', 'int8')


def photographs(n, height, width, seed=0):
    "So many different crops of photographs that installed packages ship, at one size."
    rng = np.random.default_rng(seed)
    names = [m for m in example_names() if min(example_image(m).shape[:2]) >= 300][:12]
    for i in range(n):
        photo = example_image(names[i % len(names)])
        side = int(rng.integers(256, min(photo.shape[:2]) + 1))
        y, x = (int(rng.integers(0, s - side + 1)) for s in photo.shape[:2])
        yield resize_image(photo[y:y + side, x:x + side], height, width)


def turns(contestants, repeats):
    "Wall and processor seconds (repeats,) of each contestant, taking turns after a warm-up."
    wall, cpu = {name: [] for name in contestants}, {name: [] for name in contestants}
    for call in contestants.values(): call()
    for _ in range(repeats):
        for name, call in contestants.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            call()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
    return {name: np.array(t) for name, t in wall.items()}, {name: np.array(t) for name, t in cpu.items()}


def spread(times, digits=4): return dict(median=round(float(np.median(times)), digits), least=round(float(np.min(times)), digits), most=round(float(np.max(times)), digits))


# The arithmetic

def multiply_adds(model):
    "Multiply-adds of a pass over one picture: convolutions and dense layers, which are all but a few hundredths of the work."
    import keras
    total = 0
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)):
            positions = int(np.prod(layer.output.shape[1:-1]))
            total += positions*int(np.prod(layer.kernel.shape))
    return total


def product(precision, n=2048):
    "A compiled product of two n x n matrices."
    import openvino as ov
    from openvino import opset13 as ops
    left = ops.parameter([n, n], np.float32)
    right = ops.constant(np.random.default_rng(0).random((n, n), np.float32))
    graph = ov.Model([ops.matmul(left, right, False, False)], [left])
    request = ov.Core().compile_model(graph, 'CPU', {'INFERENCE_PRECISION_HINT': precision, 'PERFORMANCE_HINT': 'LATENCY'}).create_infer_request()
    x = np.random.default_rng(1).random((n, n), np.float32)
    return lambda: request.infer([x], share_inputs=True)


def peaks(repeats, sides=(512, 1024, 2048)):
    "Billions of multiply-adds a second of plain matrix products, the best of their sizes and turns: the machine's measured peak."
    contestants = {}
    for n in sides:
        a = np.random.default_rng(0).random((n, n), np.float32)
        contestants['numpy f32', n] = lambda a=a: a@a
        for precision in ('f32', 'bf16') if has_bf16() else ('f32',): contestants[f'openvino {precision}', n] = product(precision, n)
    wall, _ = turns(contestants, 5*repeats)
    best = {}
    for (name, n), t in wall.items(): best[name] = max(best.get(name, 0), round(n**3/float(t.min())/1e9, 1))
    return best


def has_bf16():
    "Whether OpenVINO computes in bfloat16 on this processor."
    import openvino
    return 'BF16' in openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


# Contestants

def published_path(model, pictures):
    "The notebook's: cut, preprocess, and a picture a batch through TimeDistributed layers."
    import keras
    patches = image_patches(pictures[0], 224, .5)[0]
    whole = keras.Sequential([keras.Input(patches.shape), keras.layers.TimeDistributed(model),
                              keras.layers.TimeDistributed(keras.layers.GlobalAveragePooling2D())])
    def run():
        return [whole.predict_on_batch(preprocess_input(image_patches(picture, 224, .5)[0], model.name)[None])[0] for picture in pictures]
    return run


def through(extractor, pictures):
    "The package's: pictures through an extractor, as `extract` takes them once they are decoded."
    return lambda: [features for _, features in extractor._compute(extractor._picture(picture) for picture in pictures)]


def engines(): return [e for e in ENGINES if e[1] != 'bf16' or has_bf16()]


def agreement(found, wanted):
    "How far features are from the reference's."
    cosine = (found*wanted).sum(1)/np.linalg.norm(found, axis=1)/np.linalg.norm(wanted, axis=1)
    error = np.abs(found - wanted)
    return dict(mean_cosine=round(float(cosine.mean()), 6), least_cosine=round(float(cosine.min()), 6), max_error=round(float(error.max()), 4),
                error_in_spreads=round(float(np.median(error.mean(0)/(wanted.std(0) + 1e-6))), 4))


def rates(args):
    "Patch and dense mode by engine and precision, beside the published path."
    pictures, rows, peak = list(photographs(8, 384, 512)), [], peaks(args.repeats)
    for base, settings in NETWORKS.items():
        model = Base_Model(base, settings['weights'])
        seen, contestants, reference = {}, {'published': (published_path(model, pictures[:2]), 2)}, {}
        for mode in ('patches', 'dense'):
            for engine, precision in engines():
                extractor = FeatureExtractor(model, features=settings['features'], mode=mode, engine=engine, precision=precision)
                n = 3 if engine == 'keras' else 8
                contestants[mode, engine, precision] = through(extractor, pictures[:n]), n
                seen[mode, engine, precision] = np.concatenate(through(extractor, pictures)())
        wall, cpu = turns({name: call for name, (call, _) in contestants.items()}, args.repeats)
        patches, work = 12, multiply_adds(model)
        for name, (_, n) in contestants.items():
            a_picture = wall[name]/n
            mode, engine, precision = ('patches', 'keras', 'f32') if name == 'published' else name
            billions = work*(patches if mode == 'patches' else 384*512/224**2)/1e9   # a picture; dense: as many pixels once
            row = dict(backbone=model.name, weights=settings['weights'] or 'random', path='published' if name == 'published' else 'package', mode=mode, engine=engine, precision=precision,
                       pictures_per_s=round(float(1/np.median(a_picture)), 2), patches_per_s=round(float(patches/np.median(a_picture)), 1),
                       pictures_per_processor_s=round(float(n/np.median(cpu[name])), 2),
                       times_published=round(float(np.median(wall['published']/2/a_picture)), 2),
                       times_published_by_processor_seconds=round(float(np.median(cpu['published']/2/(cpu[name]/n))), 2),
                       billion_multiply_adds_a_picture=round(billions, 2), billion_multiply_adds_per_s=round(float(billions/np.median(a_picture)), 1))
            if fastest := max((v for k, v in peak.items() if k.endswith(precision)), default=0): row['share_of_peak'] = round(row['billion_multiply_adds_per_s']/fastest, 3)
            if name != 'published':
                row.update(agreement(seen[name], seen[mode, 'keras', 'f32']))
                row['mean_cosine_to_patches'] = agreement(seen[name], seen['patches', 'keras', 'f32'])['mean_cosine']
            rows.append(row)
    pd.DataFrame(rows).to_csv(args.out/'speed.csv', index=False, lineterminator='\n')
    return dict(picture='512x384, overlap .5, 12 patches', repeats=args.repeats, peak_billion_multiply_adds_per_s=peak, rows=rows)


def modes(args):
    "Seconds a picture by backbone, mode, overlap, engine and precision, multi-level features."
    pictures, contestants = list(photographs(8, 500, 500)), {}
    for engine, precision in engines():
        for base, ways in LITES.items():
            model, networks = Base_Model(base), {}
            for mode, overlapping in ways:
                extractor = FeatureExtractor(model, features='multilevel', mode=mode, overlapping=overlapping, engine=engine, precision=precision)
                if mode in networks: extractor.network, extractor.width = networks[mode]   # compiled once
                else: networks[mode] = extractor.network, extractor.width
                n = 1 if engine == 'keras' else 8
                contestants[base, mode, overlapping, engine, precision] = through(extractor, pictures[:n]), n
    wall, cpu = turns({name: call for name, (call, _) in contestants.items()}, args.repeats)
    return [dict(zip(('backbone', 'mode', 'overlap', 'engine', 'precision'), name), seconds=round(float(np.median(wall[name]/n)), 5), processor_seconds=round(float(np.median(cpu[name]/n)), 5))
            for name, (_, n) in contestants.items()]


# The pipeline

def jpegs(args, folder, n):
    "Paths of 512x512 JPEGs: the folder's, or new ones."
    if args.pictures:
        found = sorted(path for path in args.pictures.rglob('*') if path.suffix.lower() in ('.jpg', '.jpeg', '.png', '.bmp'))[:n]
        if len(found) < n: raise SystemExit(f'{args.pictures}: {len(found)} pictures; expected at least {n}')
        if all(path.suffix.lower() in ('.jpg', '.jpeg') and Image.open(path).size == (512, 512) for path in found): return found, 'JPEGs as they are'
        pictures, kind = (resize_image(load_image(path), 512, 512) for path in found), 'pictures resized and written as JPEGs'
    else: pictures, kind = photographs(n, 512, 512), 'cut from photographs of other packages, written as JPEGs'
    for i, picture in enumerate(pictures): Image.fromarray(picture).save(folder/f'{i:04d}.jpg', quality=90)
    return sorted(folder.glob('*.jpg')), kind


def bare(extractor, pictures):
    "The network alone, on batches that lie in memory."
    pictures = [extractor._picture(picture) for picture in pictures]
    if extractor.mode == 'dense': batches = [view[-1] for picture in pictures for view in extractor._views(picture)]
    else: batches = [batch for batch, _ in cut_into_batches(pictures, extractor.size, extractor.batch_size)]
    return lambda: sum(1 for _ in extractor.network.map(batches))


def pipeline(args):
    "End to end beside the bare network, in turns."
    sizes, rows = dict(patches=args.count, dense=3*args.count), []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files, kind = jpegs(args, folder, max(sizes.values()))
        stores = iter(range(10**6))
        for mode, n in sizes.items():
            contestants = {}
            pictures = [load_image(path) for path in files[:n]]
            for precision in dict.fromkeys(p for _, p in engines()):
                extractor = FeatureExtractor(mode=mode, precision=precision)
                extractor._ready(n)   # compiled for many pictures, as `extract` does
                contestants[precision, 'bare'] = bare(extractor, pictures)
                contestants[precision, 'end to end'] = lambda extractor=extractor: extractor.extract(files[:n], folder/f'store-{next(stores)}', progress=False, strict=True)
            wall, cpu = turns(contestants, args.repeats)
            for precision in dict.fromkeys(p for p, _ in contestants):
                alone, whole = (precision, 'bare'), (precision, 'end to end')
                rows.append(dict(mode=mode, precision=precision, pictures=n, bare_pictures_per_s=round(float(n/np.median(wall[alone])), 1),
                                 pictures_per_s=round(float(n/np.median(wall[whole])), 1), share_of_bare=round(float(np.median(wall[alone]/wall[whole])), 3),
                                 bare_processor_ms=round(float(1000*np.median(cpu[alone])/n), 2), processor_ms=round(float(1000*np.median(cpu[whole])/n), 2)))
    return dict(pictures=f'512x512, {kind}', repeats=args.repeats, rows=rows)


# The store and the start

OPENING = """
import resource, sys, time
from birnn_iqa.features import FeatureStore
def now(): return time.perf_counter(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
before = now()
store = FeatureStore(sys.argv[1])
opened = now()
store['9999.jpg'].max()
print(len(store), *(b - a for a, b in zip(before, opened)), now()[0] - opened[0])
"""


def fresh(command, repeats):
    "Outputs, wall seconds and processor seconds of fresh processes, a first one not counted."
    outputs, wall, cpu = [], [], []
    for _ in range(repeats + 1):
        used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        outputs.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    return outputs[1:], wall[1:], cpu[1:]


def start(args):
    "Opening a store of 10,000 pictures, importing, asking for help."
    repeats = 2*args.repeats + 1
    with tempfile.TemporaryDirectory() as folder:
        features, boxes = np.random.default_rng(0).random((9, 1280), np.float32), np.zeros((9, 4), np.int32)
        with FeatureStore(folder, dict(features='random'), 'a') as store:
            for at in range(0, 10_000, 500): store.add_many((f'{i}.jpg', features, boxes, Source('0'*32, (1, 1, 1))) for i in range(at, at + 500))
        size = (Path(folder)/'features.bin').stat().st_size/2**20
        opened = np.array([list(map(float, line.split())) for line in fresh([sys.executable, '-c', OPENING, folder], repeats)[0]]).T
    imported = np.array([list(map(float, line.split())) for line in fresh([sys.executable, '-c', IMPORTING], repeats)[0]]).T
    helped = fresh([sys.executable, '-c', "import sys; from birnn_iqa.cli import main; sys.argv[0] = 'birnn-iqa'; sys.exit(main())", '--help'], repeats)
    alone = fresh([sys.executable, '-c', ''], repeats)
    return dict(repeats=repeats, store=dict(pictures=int(opened[0, 0]), data_mib=round(size, 1), open_s=spread(opened[1]), open_processor_s=spread(opened[2]), memory_mib=spread(opened[3], 1), read_a_picture_s=spread(opened[4], 6)),
                import_s=spread(imported[0]), import_processor_s=spread(imported[1]), help_s=spread(helped[1]), help_processor_s=spread(helped[2]),
                python_alone_s=spread(alone[1]), python_alone_processor_s=spread(alone[2]))


IMPORTING = "import time; a, b = time.perf_counter(), time.process_time(); import birnn_iqa; print(time.perf_counter() - a, time.process_time() - b)"


# Training a head

def head_multiply_adds(p, d, units, projection=None, directions=2):
    "Multiply-adds (a picture) of a forward pass through two bidirectional GRU layers, after a projection if there is one."
    width, total = d, 0
    if projection: width, total = projection, p*d*projection
    for inputs in (width, directions*units): total += p*directions*3*units*(inputs + units)
    return total


def head(args):
    "A step of training the published head's recurrence by how it is written, and its share of the peak: a pass forward and twice that back."
    import keras
    from birnn_iqa.head import rnn_model
    pictures, p, d = 64, 9, 1280
    x, y = np.random.default_rng(0).normal(size=(pictures, p, d)).astype(np.float32), np.random.default_rng(1).normal(size=(pictures, 1)).astype(np.float32)
    ways = {'any number of patches': dict(), 'fixed number, unrolled': dict(masking=False, unroll=True), 'fixed, unrolled, projected to 128': dict(masking=False, unroll=True, projection=128)}
    contestants = {}
    for name, way in ways.items():
        model = rnn_model((p if 'unroll' in way else None, d), **way)
        model.compile(keras.optimizers.AdamW(1e-3, clipnorm=1.), 'mse')
        contestants[name] = lambda model=model: [model.train_on_batch(x, y) for _ in range(3)]
    wall, cpu = turns(contestants, args.repeats)
    peak, rows = peaks(args.repeats)['numpy f32'], []
    for name, way in ways.items():
        billions = 3*head_multiply_adds(p, d, 128, way.get('projection'))*pictures/1e9
        step, step_cpu = float(np.median(wall[name]))/3, float(np.median(cpu[name]))/3
        rows.append({'way': name, 'billion_multiply_adds_a_step': round(billions, 2), 'seconds_a_step': round(step, 4), 'processor_seconds_a_step': round(step_cpu, 4),
                     'seconds_for_9000_pictures': round(step*9000/pictures, 2), 'least_seconds_for_9000_pictures': round(billions*9000/pictures/peak, 2), 'share_of_peak': round(billions/step/peak, 3)})
    return dict(batch=pictures, patches=p, features=d, peak_billion_multiply_adds_per_s=peak, repeats=args.repeats, rows=rows)


# Splits side by side

SPLITS = ('Bi-RCNN(EfficientNet-Lite0)', 1), ('Bi-RCNN(EfficientNet-Lite0)', 4), ('EfficientNet-Lite0', 1), ('EfficientNet-Lite0', 4)


def splits(args):
    "Seconds of two splits by head and epochs, and how far the predictions are from each other; None without the database."
    if args.live_itw is None: return None
    from birnn_iqa.benchmark import WORTHWHILE, CnnRow, Settings, make_task, parse_system, run_benchmark
    from birnn_iqa.datasets import live_itw
    from birnn_iqa.training import HeadConfig
    tables, protocol, rows = dict(live_itw=live_itw(args.live_itw)), '80/20x2', []
    task = make_task(tables, 'live_itw', protocol)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        features = args.features or folder/'features'
        outs = (folder/f'out-{i}' for i in range(10**6))
        for name, epochs in SPLITS:
            settings = Settings(dict(mode='dense', overlapping=.5, small='resize'), HeadConfig(epochs=epochs), progress=False)
            row = CnnRow(parse_system(name), features, settings)
            row.prepare(task.table)
            last = {}
            def run(jobs):
                last[jobs] = out = next(outs)
                out.mkdir()
                (out/'features').symlink_to(features.resolve())
                assert (run_benchmark(tables, [name], protocol, out, settings, jobs=jobs).status == 'ok').all()
            wall, _ = turns({jobs: lambda jobs=jobs: run(jobs) for jobs in (1, 2)}, args.repeats)
            alone, apart = (np.concatenate([pd.read_csv(path).prediction for path in sorted((last[jobs]/'predictions').iterdir())]) for jobs in (1, 2))
            reads = [epochs*sum(row.store.record(i).patches for i in task.table.image_id.iloc[split.train]) for split in task.splits]
            rows.append(dict(system=name, epochs=epochs, patches_read_a_split=int(np.mean(reads)), one_after_the_other_s=round(float(np.median(wall[1])), 2),
                             side_by_side_s=round(float(np.median(wall[2])), 2), times=round(float(np.median(wall[1]/wall[2])), 3), largest_difference=float(np.abs(alone - apart).max())))
    return dict(database='LIVE In the Wild', protocol=protocol, repeats=args.repeats, worthwhile=WORTHWHILE, rows=rows)


# The figure

def figure(args):
    "Accuracy against cost; None where one side has not been measured yet."
    path, accuracy = args.out/'speed.json', args.out/'modes'/'results.csv'
    measured = json.loads(path.read_text()) if path.exists() else {}
    if 'modes' not in measured or not accuracy.exists(): return None
    import matplotlib
    matplotlib.use('Agg')
    points = accuracy_and_cost(pd.DataFrame(measured['modes']['measured']), pd.read_csv(accuracy))
    draw(points).figure.savefig(args.out/'modes'/'pareto.png', dpi=120)
    return points.round(4).to_dict('records')


def accuracy_and_cost(costs, accuracy):
    "A row a (backbone, mode, overlap, engine, precision): milliseconds a picture, mean SROCC over the splits, whether it is on the Pareto front."
    from birnn_iqa.plots import pareto_front
    keys = ['backbone', 'mode', 'overlap', 'precision']
    accuracy = accuracy[accuracy['head'] == accuracy['head'].iloc[0]]   # one kind of head
    means = accuracy.groupby(keys, as_index=False)[['val_srocc', 'test_srocc']].mean()
    points = costs.merge(means, on=keys)
    points['milliseconds'] = 1000*points.seconds
    points['front'] = pareto_front(points.milliseconds, points.test_srocc)
    return points.sort_values('milliseconds', ignore_index=True)


def draw(points):
    "The figure: a point a variant, its overlap beside it, the front as a staircase."
    import matplotlib.pyplot as plt
    import seaborn as sns
    points = points.assign(computed=points.engine + ' ' + points.precision, network=points.backbone.str.replace('efficientnet_lite', 'Lite') + ', ' + points['mode'])
    figure, ax = plt.subplots(figsize=(8, 4.2), layout='constrained')
    front = points[points.front]
    ax.step(front.milliseconds, front.test_srocc, where='post', color='.6', lw=1, zorder=0, label='Pareto front')
    sns.scatterplot(points, x='milliseconds', y='test_srocc', hue='computed', style='network', s=70, palette='colorblind', ax=ax)
    for row in points.itertuples(): ax.annotate(f'{row.overlap:g}', (row.milliseconds, row.test_srocc), (5, 4), textcoords='offset points', fontsize=7)
    ax.set(xscale='log', xlabel='milliseconds for a picture of 500x500, decoded', ylabel='SROCC on the test parts, mean')
    ax.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc='upper left')
    return ax


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pictures', type=Path, help='folder of pictures for the pipeline')
    parser.add_argument('--live_itw', type=Path, help='folder of LIVE In the Wild for the splits')
    parser.add_argument('--features', type=Path, help='its features, if they are there: the `features` folder of a benchmark')
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--count', type=int, default=64, help='pictures of the pipeline in patch mode; dense mode takes three times as many')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent/'results')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out/'speed.json'
    result = json.loads(path.read_text()) if path.exists() else {}
    for part in args.only:
        before = machine()
        measured = globals()[part](args)
        if measured is None: continue
        versions = {name: version(name) for name in ('keras', 'tensorflow', 'openvino', 'pillow')}
        result[part] = dict(machine={**before, **versions, 'load_after': round(os.getloadavg()[0], 1)}, measured=measured)
        partial = path.with_suffix('.partial')
        partial.write_text(json.dumps(result, indent=1) + '\n')
        partial.replace(path)
        print(json.dumps({part: result[part]}, indent=1), flush=True)


if __name__ == '__main__': main()
