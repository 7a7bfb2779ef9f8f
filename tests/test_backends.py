"""Keras on each backend that is installed: the shipped heads give what NumPy gives, the scorer what it gives elsewhere; a head is trained, saved and read back."""
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from birnn_iqa.images import example_image
from birnn_iqa.scoring import Scorer

CHILD = """
import json, sys, numpy as np, keras
from birnn_iqa.images import example_image
from birnn_iqa.head import attention_weights, rnn_model
from birnn_iqa.scoring import SHIPPED, Head, Scorer, keras_head, read_scorer
_, members, _ = read_scorer(SHIPPED)
first = members[0]
inner = next(s for s in first.steps if 'features' in s['inputs'] and f"{s['name']}/0" in first.arrays)
kernel = first.arrays[f"{inner['name']}/0"]
x = np.abs(np.random.default_rng(0).normal(size=(3, 7, kernel.shape[0] if inner['kind'] == 'dense' else kernel.shape[-1]))).astype('float32')
def values(model, x): return keras.ops.convert_to_numpy(model(x, training=False))[:, 0]
theirs = np.stack([values(keras_head(m.steps, m.arrays, (None, x.shape[2])), x)*m.gain + m.offset for m in members])
shipped = float(np.abs(theirs - Head(members)(x)[0]).max())

rng = np.random.default_rng(1)
x, y = rng.normal(size=(16, 5, 8)).astype('float32'), rng.uniform(size=16).astype('float32')
x[::2, 3:] = 0   # padding
model = rnn_model((None, 8), dropOutRate=0., seed=0, lstm_layers=1, lstm_units=4, hidden_units=8, num_layers=1)
weights = attention_weights(model, x)
assert np.allclose(weights.sum(1), 1, atol=1e-5) and not weights[::2, 3:].any()
assert np.allclose(values(model, x[::2]), values(model, x[::2, :3]), atol=1e-5)   # padding counts for nothing
model.compile(keras.optimizers.Adam(.01), 'mse')
history = model.fit(x, y, epochs=12, batch_size=16, verbose=0).history['loss']
assert history[-1] < .8*history[0], history
model.save(sys.argv[1])
again = keras.saving.load_model(sys.argv[1])
score = Scorer(engine='keras')(example_image('coffee'), maps=False).score
print(json.dumps(dict(backend=keras.backend.backend(), keras=keras.__version__, score=score, shipped=shipped, saved=float(np.abs(values(again, x) - values(model, x)).max()))))
"""


@pytest.mark.parametrize('backend', ['tensorflow', 'jax', 'torch'])
def test_heads_and_scorer_on_each_backend(backend, tmp_path, record):
    if importlib.util.find_spec(backend) is None: pytest.skip(f'{backend} is not installed')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', CHILD, tmp_path/'model.keras'], capture_output=True, text=True, timeout=900,
                          env=dict(os.environ, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL='3', CUDA_VISIBLE_DEVICES='-1', JAX_PLATFORMS='cpu'))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    record(**{backend: {key: found[key] for key in ('score', 'shipped', 'saved')}})
    assert found['backend'] == backend and found['shipped'] < .01 and found['saved'] < 1e-5, found
    assert abs(found['score'] - Scorer()(example_image('coffee'), maps=False).score) < .01, found
