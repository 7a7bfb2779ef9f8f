"""NIQE and BRISQUE against an independent implementation's values on 25 photographs."""
import csv
import os
from pathlib import Path

import numpy as np
import pytest

from birnn_iqa.images import load_image
from birnn_iqa.nss import brisque_features, niqe

SHARED = Path(os.environ.get('BIRNN_IQA_SHARED', Path(__file__).parents[3]/'shared'))/'data'
TABLE = SHARED/'nss'/'reference_values.csv'
ROWS = list(csv.DictReader(TABLE.open())) if TABLE.exists() else []

pytestmark = pytest.mark.skipif(not ROWS, reason=f'no reference values at {TABLE}')


def test_table_is_whole():
    assert len(ROWS) == 25 and len(ROWS[0]) == 38


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['image'])
def test_brisque_features(row):
    expected = np.array([float(row[f'brisque_f{i:02}']) for i in range(36)])
    features = brisque_features(load_image(SHARED/row['image']))
    error = np.abs(features - expected)
    wrong = [(i, features[i], expected[i]) for i in np.flatnonzero((error > 1e-3*np.abs(expected)) & (error > 1e-4))]
    assert not wrong


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row['image'])
def test_niqe(row):
    score = niqe(load_image(SHARED/row['image']), SHARED/'nss'/'niqe_pris_params.npz')
    assert score == pytest.approx(float(row['niqe']), rel=.01)
