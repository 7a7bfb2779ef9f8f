"""Every option of a HeadConfig trains, and what is trained unrolled is the network that is kept."""
import os
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
from dataclasses import replace

import numpy as np
import pytest

from birnn_iqa.training import PUBLISHED_CONFIG, HeadConfig, _networks, feature_statistics, fit_head, predict_scores

TINY = HeadConfig(lstm_layers=1, lstm_units=4, hidden_units=8, num_layers=1, epochs=1, batch_size=16)
rng = np.random.default_rng(0)
features = rng.normal(size=(60, 9, 24)).astype('float32')
mos = 50 + 10*features[:, :, 0].min(1)
mixed = features.copy()
mixed[::3, 6:] = 0     # a third of the pictures has six patches


@pytest.mark.parametrize('change', [dict(loss='mse+plcc', monitor='val_srocc'), dict(cell='lstm', loss='mae+rank', schedule='plateau', monitor='val_plcc'),
                                    dict(normalise=True, projection=5, input_dropout=.1, optimizer='adam', schedule='constant', clipnorm=None),
                                    dict(lstm_layers=0, att=False)], ids=['plcc', 'lstm', 'projection', 'mean'])
def test_options_train_on_pictures_of_differing_patch_counts(change):
    head = fit_head(mixed[:45], mos[:45], mixed[45:], mos[45:], replace(TINY, **change))
    padded = np.pad(mixed[:3, :6], ((0, 0), (0, 2), (0, 0)))
    np.testing.assert_allclose(head.predict(mixed[:3, :6]), head.predict(padded), atol=1e-3)


def test_published_configuration_trains():
    head = fit_head(features, mos, config=replace(PUBLISHED_CONFIG, lstm_units=4, hidden_units=8, epochs=2))
    assert (head.predict(features) >= 0).all() and list(head.history.columns[:2]) == ['epoch', 'loss']


@pytest.mark.parametrize('change', [dict(), dict(attention_bias='patch'), dict(masking=False)], ids=['default', 'tied', 'unmasked'])
def test_unrolled_is_kept(change):
    _, mean, std = feature_statistics(features)
    trained, kept = _networks(replace(TINY, **change), (9, 24), True, True, (mean, std))
    kept.set_weights(trained.get_weights())
    np.testing.assert_allclose(predict_scores(kept, features[:4]), predict_scores(trained, features[:4]), atol=1e-5)
