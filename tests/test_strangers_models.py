"""Models, arrays and names from a stranger: nothing in them is run, nothing is written outside its folder, each is refused by name."""
import base64
import hashlib
import io
import json
import marshal
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from birnn_iqa.scoring import SHIPPED, ScorerError, map_name, read_scorer
from fuzzing import Watch

ARRAYS = next(SHIPPED.glob('heads-*.npz')).name


class Canary:
    "Pickles as a call that makes a file."
    def __init__(self, path): self.path = str(path)
    def __reduce__(self): return open, (self.path, 'w')


# Keras models

@pytest.fixture(scope='module')
def keras_file(tmp_path_factory):
    "A small whole model in Keras' format, as a dictionary of its members."
    from birnn_iqa.head import rnn_model
    path = tmp_path_factory.mktemp('good')/'good.keras'
    rnn_model((None, 6), lstm_layers=0, hidden_units=4, num_layers=1).save(path)
    with zipfile.ZipFile(path) as z: return {name: z.read(name) for name in z.namelist()}


def evil_layers(canary, folder):
    "Layers that would run, import or fetch something if they were built: name -> entry of a model's config."
    code = compile(f'lambda x: (open({str(canary)!r}, "w"), x)[1]', 'x', 'eval').co_consts[0]
    function = dict(class_name='__lambda__', config=dict(code=base64.b64encode(marshal.dumps(code)).decode(), defaults=None, closure=None))
    def layer(module, kind, registered=None, /, **config): return dict(module=module, class_name=kind, registered_name=registered, config=config)
    touch = f'touch {canary}'
    return {
        'Lambda': layer('keras.layers', 'Lambda', name='l', function=function, arguments={}), 'bare lambda': function,
        'TFSMLayer': layer('keras.layers', 'TFSMLayer', filepath=str(folder)), 'TorchModuleWrapper': layer('keras.layers', 'TorchModuleWrapper', module=base64.b64encode(pickle.dumps(Canary(canary))).decode()),
        'a class of a module beside it': layer('strangers_module', 'Evil'), 'the same, registered': layer('strangers_module', 'Evil', 'strangers_module>Evil'),
        'os.system': dict(module='os', class_name='system', config=touch, registered_name='function'), 'subprocess.run': layer('subprocess', 'run', args=['touch', str(canary)]),
        'subprocess.Popen': layer('subprocess', 'Popen', args=['touch', str(canary)]), 'builtins.eval': dict(module='builtins', class_name='function', config='eval', registered_name='function'),
        'builtins.exec': layer('builtins', 'exec', source=f'open({str(canary)!r}, "w")'), 'importlib.import_module': layer('importlib', 'import_module', name='strangers_module'),
        'keras.utils.get_file': layer('keras.utils', 'get_file', fname=str(canary), origin=f'file://{__file__}'), 'keras.config.enable_unsafe_deserialization': layer('keras.config', 'enable_unsafe_deserialization'),
        'keras.models.load_model': layer('keras.models', 'load_model', filepath=str(folder/'other.keras')), 'numpy.load': layer('numpy', 'load', file=str(folder/'evil.npy'), allow_pickle=True),
        'an unknown class': dict(class_name='Evil', config={}), 'a name of no module': layer('no.such.module', 'Evil'), 'a number': layer(3, 4),
    }


def configs(good, layer):
    "The layer as the whole model, and in the place of the model's last layer."
    yield layer
    inner = json.loads(good)
    inner['config']['layers'][-1].update(layer)
    yield inner


def write_keras(path, members):
    with zipfile.ZipFile(path, 'w') as z:
        for name, content in members.items(): z.writestr(name, content)


@pytest.fixture
def run_folder(keras_file, tmp_path):
    "A run folder that is good but for what a test puts in place of its model."
    folder = tmp_path/'run'
    folder.mkdir()
    (folder/'config.json').write_text(json.dumps(dict(plan=dict(config={}, features={}, scale=[0, 100], database='x'))))
    (folder/'metrics.json').write_text('{}')
    (folder/'history.csv').write_text('epoch\n1\n')
    (folder/'predictions.csv').write_text('image_id,part,mos,prediction\n')
    write_keras(folder/'model.keras', keras_file)
    return folder


def test_no_layer_of_a_strangers_model_runs(keras_file, run_folder, tmp_path, monkeypatch, record):
    from birnn_iqa.training import RunError, load_run
    monkeypatch.syspath_prepend(tmp_path)
    canary = tmp_path/'canary'
    (tmp_path/'strangers_module.py').write_text(f'open({str(canary)!r}, "w")\nclass Evil:\n    from_config = classmethod(lambda cls, config: cls())\n')
    np.save(tmp_path/'evil.npy', np.array([Canary(canary)], object), allow_pickle=True)
    load_run(run_folder)   # good as it stands; Keras has imported what it needs
    tried = 0
    for name, layer in evil_layers(canary, tmp_path).items():
        for config in configs(keras_file['config.json'], layer):
            write_keras(run_folder/'model.keras', {**keras_file, 'config.json': json.dumps(config)})
            with Watch('compile', 'exec', 'import'), pytest.raises(RunError, match='model.keras'): load_run(run_folder)   # Keras compiles and imports its own
            assert not canary.exists() and 'strangers_module' not in sys.modules, name
            tried += 1
    record(models=tried)


def test_the_canary_would_sing(tmp_path, monkeypatch):
    "The proof of the test above: outside safe mode the lambda does run."
    import keras
    canary = tmp_path/'canary'
    layer = keras.saving.deserialize_keras_object(evil_layers(canary, tmp_path)['Lambda'], safe_mode=False)
    layer(np.zeros((1, 2), 'float32'))
    assert canary.exists()


def test_archives_reach_nowhere_else(keras_file, run_folder, tmp_path):
    "Members with paths out of the folder, links, and weights that point to other files are not followed."
    import h5py
    from birnn_iqa.training import RunError, load_run
    before = {p for p in tmp_path.rglob('*')}
    write_keras(run_folder/'model.keras', {**keras_file, '../../escaped.txt': b'x', str(tmp_path/'absolute.txt'): b'x', 'assets/../../../up.txt': b'x'})
    try: load_run(run_folder)
    except RunError: pass
    assert {p for p in tmp_path.rglob('*')} == before
    secret = tmp_path/'secret.bin'
    secret.write_bytes(np.full(1000, 7, '<f4').tobytes())
    weights = tmp_path/'w.h5'
    weights.write_bytes(keras_file['model.weights.h5'])
    with h5py.File(weights, 'r+') as file:
        places = []
        file.visititems(lambda name, item: places.append(name) if isinstance(item, h5py.Dataset) and item.size else None)
        shape = file[places[0]].shape
        del file[places[0]]
        file.create_dataset(places[0], shape, '<f4', external=[(str(secret), 0, 4000)])
    write_keras(run_folder/'model.keras', {**keras_file, 'model.weights.h5': weights.read_bytes()})
    try: run = load_run(run_folder)
    except RunError: return
    assert not any((w == 7).all() for w in run.model.get_weights() if w.size)   # nothing of another file came in


def test_damaged_models_are_refused(keras_file, run_folder):
    from birnn_iqa.training import RunError, load_run
    whole = (run_folder/'model.keras').read_bytes()
    damaged = {f'the first {n} bytes': whole[:n] for n in (0, 2, len(whole)//2, len(whole) - 10)}
    damaged |= {'no archive': b'x'*1000, 'another name': whole.replace(b'config.json', b'konfig.json')}
    for name, content in (('config.json', b'{'), ('config.json', b'[]'), ('config.json', b'\xff\xfe'), ('model.weights.h5', b'no HDF5'), ('model.weights.h5', b'')):
        write_keras(run_folder/'model.keras', {**keras_file, name: content})
        damaged[f'{name} of {content!r}'] = (run_folder/'model.keras').read_bytes()
    for name, raw in damaged.items():
        (run_folder/'model.keras').write_bytes(raw)
        try: load_run(run_folder)
        except RunError as error: assert 'model.keras' in str(error), name
        else: pytest.fail(f'accepted: {name}')


# Scorers

def scorer_with(folder, raw=None, **changes):
    "The shipped scorer with other arrays, their digest set right, as a stranger would."
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    content = json.loads((folder/'scorer.json').read_text())
    if raw is not None:
        (folder/ARRAYS).write_bytes(raw)
        content['arrays']['sha256'] = hashlib.sha256(raw).hexdigest()
    content.update(changes)
    (folder/'scorer.json').write_text(json.dumps(content))
    return folder


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_arrays_with_objects_are_refused(tmp_path):
    canary = tmp_path/'canary'
    names = np.load(SHIPPED/ARRAYS).files
    evil = np.empty(1, object)
    evil[0] = Canary(canary)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as z: z.writestr(f'{names[0]}.npy', pickle.dumps(Canary(canary)))
    for i, raw in enumerate((npz(**{names[0]: evil}), npz(**dict.fromkeys(names, evil)), buffer.getvalue(), pickle.dumps(Canary(canary)), b'', b'PK\3\4', b'\x93NUMPY\1\0', npz(other=np.ones(3)))):
        with Watch('import', 'exec', 'compile'), pytest.raises(ScorerError, match='scorer.json|heads-'): read_scorer(scorer_with(tmp_path/f'scorer{i}', raw))
        assert not canary.exists()


def test_a_scorers_arrays_come_from_its_own_folder(tmp_path):
    (tmp_path/'elsewhere').mkdir()
    shutil.copy(SHIPPED/ARRAYS, tmp_path/'elsewhere'/'other.npz')
    digest = hashlib.sha256((SHIPPED/ARRAYS).read_bytes()).hexdigest()
    for file in ('../elsewhere/other.npz', str(tmp_path/'elsewhere'/'other.npz')):
        with pytest.raises(ScorerError, match='other.npz'): read_scorer(scorer_with(tmp_path/'scorer', arrays=dict(file=file, sha256=digest)))


def test_a_scorers_description_is_refused_by_name(tmp_path):
    "Steps that name what is not there, fields of other types, numbers in place of lists: a ScorerError each, before anything is run."
    good = json.loads((SHIPPED/'scorer.json').read_text())
    changes = [(('heads', 0, 'steps', 0, 'kind'), 'os.system'), (('heads', 0, 'steps', 0, 'inputs'), ['nowhere']), (('heads', 0, 'steps', 0, 'inputs'), None), (('heads', 0, 'steps', 0, 'name'), None),
               (('heads', 0, 'steps'), None), (('heads', 0, 'steps'), []), (('heads', 0), None), (('heads',), []), (('heads',), {}), (('heads', 0, 'gain'), 'x'), (('std',), [1]), (('std',), ['a', 'b']), (('format',), 99),
               (('features',), []), (('features', 'size'), 3), (('features', 'size'), ['a', 'b']), (('features', 'mode'), 'other'), (('features', 'overlapping'), 2.),
               (('area',), -1), (('area',), 10**18), (('margin',), 'x'), (('arrays',), None), (('arrays',), {}), (('arrays', 'file'), 3), (('arrays', 'file'), '..')]
    wrong = []
    for i, (place, value) in enumerate(changes):
        content = json.loads(json.dumps(good))
        target = content
        for key in place[:-1]: target = target[key]
        target[place[-1]] = value
        try: read_scorer(scorer_with(tmp_path/'scorer', **content))
        except ScorerError as error: wrong += [] if str(tmp_path) in str(error) else [f'{place} = {value!r}: not named: {error}']
        except Exception as error: wrong.append(f'{place} = {value!r}: {type(error).__name__}: {error}')
        else: wrong.append(f'{place} = {value!r}: accepted')
    assert not wrong, '\n'.join(wrong)


# Names

NAMES = '../../x.png', '/etc/x.png', '..', '.', 'a/../../b', 'a\\..\\b', 'x\0y', 'x'*5000, '\udcff\udcfe.png', 'new\nline', 'ü/‮', 'CON', '-rf', '~/x', '%2e%2e/x'


def test_no_name_leads_out_of_a_folder():
    "Names of pictures and rows become file names without a separator."
    from birnn_iqa.benchmark import Results
    for name in NAMES:
        made = map_name(name)
        assert made == os.path.basename(made) and made not in ('.', '..') and len(os.fsencode(made)) < 255
        path = Results(Path('out')).predictions_path(dict(database=name[:100], system=name[:50], protocol='official', split=name[:50]))
        assert path.parent == Path('out/predictions') and path.name not in ('.', '..')
    assert len({map_name(name) for name in NAMES}) == len(NAMES)


def test_no_name_leads_out_of_a_store(tmp_path):
    from birnn_iqa.features import FeatureStore
    with FeatureStore(tmp_path/'in'/'store', dict(base='x'), 'a') as store:
        for name in NAMES:
            if name.isprintable(): store.add(name, np.ones((1, 2)), np.zeros((1, 4)))
    assert {p.name for p in tmp_path.rglob('*')} == {'in', 'store', 'features.bin', 'index.jsonl', 'key.json', 'lock'}
    assert FeatureStore(tmp_path/'in'/'store').ids == [name for name in NAMES if name.isprintable()]
