"The datasets room on the published label files and samples."
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birnn_iqa import datasets as ds

SHARED = Path(os.environ.get('BIRNN_IQA_SHARED', Path(__file__).parents[3]/'shared'))/'data'
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f'{SHARED}: no shared data')
LABELS = SHARED/'labels'


def laid_out(folder, **files):
    "A folder with published label files under the names that a release gives them."
    for name, source in files.items(): shutil.copy(LABELS/source, folder/name)
    return folder


def disjoint(table, split):
    parts = [set(table.group.iloc[p]) for p in split[1:]]
    rows = np.concatenate(split[1:])
    return len(set(rows)) == len(rows) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_live_itw_sample_is_read_without_the_study_training_pictures():
    table = ds.live_itw(SHARED/'live_itw_sample')
    assert len(table) == 98 and not table.image_id.str.startswith('t').any()
    assert table.path.map(os.path.isfile).all()
    assert table.mos.between(0, 100).all() and table.mos_std.gt(0).all()
    assert table.set_index('image_id').group[['246.bmp', '333.bmp']].nunique() == 1 and table.group.nunique() == 97
    mat = {k: ds.read_mat(SHARED/'live_itw_sample'/'Data'/f'{k}.mat', k) for k in ('AllImages_release', 'AllMOS_release')}
    by_name = {n: m for n, m in zip(mat['AllImages_release'], mat['AllMOS_release'])}
    assert all(by_name[row.image_id] == row.mos for row in table.itertuples())


def test_duplicate_pair_never_parts_in_200_splits():
    table = ds.live_itw(SHARED/'live_itw_sample')
    pair = np.flatnonzero(table.image_id.isin(['246.bmp', '333.bmp']))
    for split in ds.random_splits(table, 200):
        assert any(set(pair) <= set(part) for part in split[1:])


def test_biq2021_sample_has_its_quirks_read():
    table = ds.biq2021(SHARED/'biq2021_sample')
    assert table.split.value_counts().to_dict() == {'train': 119, 'test': 40}
    assert table.attrs['repeated'] == ['ss02 (1014).jpg']
    odd = table.set_index('image_id').loc['ss02 (1014).jpg']
    assert odd.path.endswith('.JPG') and odd.mos == .4357
    assert table.path.map(os.path.isfile).all()


def test_biq2021_sample_with_published_groups():
    table = ds.biq2021(SHARED/'biq2021_sample', groups=LABELS/'biq2021_near_dup_groups.csv')
    groups = pd.read_csv(LABELS/'biq2021_near_dup_groups.csv', dtype=str).set_index('image').group
    assert (table.group.to_numpy() == groups[table.image_id].to_numpy()).all()
    assert disjoint(table, ds.official_split(table))


@pytest.fixture(scope='module')
def biq_labels(tmp_path_factory):
    "BIQ2021's two lists, made again from the published groups file, without pictures."
    root = tmp_path_factory.mktemp('biq')
    groups = pd.read_csv(LABELS/'biq2021_near_dup_groups.csv', dtype=str)
    for split in ('train', 'test'):
        (root/f'{split.title()} (Images and MOS).csv').write_text(
            'Image Name,MOS\n' + ''.join(f'{r.image},{r.mos}\n' for r in groups[groups.official_split == split].itertuples()))
    return root


def test_biq2021_official_split_leaks_and_the_default_does_not(biq_labels):
    table = ds.biq2021(biq_labels, groups=LABELS/'biq2021_near_dup_groups.csv', check_images=False)
    assert table.split.value_counts().to_dict() == {'train': 10000, 'test': 2000} and table.attrs['complete']
    published, honest = ds.official_split(table, val=0, leaks='keep'), ds.official_split(table, val=0)
    assert (len(published.train), len(published.test)) == (10000, 2000) and not disjoint(table, published)
    assert disjoint(table, honest) and len(honest.test) == 2000 and len(honest.train) < 10000


def test_splits_of_12000_pictures_are_disjoint_sized_and_stable(biq_labels):
    table = ds.biq2021(biq_labels, groups=LABELS/'biq2021_near_dup_groups.csv', check_images=False)
    splits, folds = ds.random_splits(table, 3), ds.kfold_splits(table)
    assert all(disjoint(table, s) for s in splits + folds)
    assert all(abs(len(s.test) - 2400) <= 3 and abs(len(s.val) - .1 * (12000 - len(s.test))) <= 3 for s in splits)
    assert sorted(np.concatenate([f.test for f in folds])) == list(range(12000)) and np.ptp([len(f.test) for f in folds]) <= 1
    turned = table.iloc[::-1].reset_index(drop=True)
    for split, again in zip(splits, ds.random_splits(turned, 3)):
        assert set(table.image_id.iloc[split.test]) == set(turned.image_id.iloc[again.test])


SCORES, SETS = 'koniq10k_scores_and_distributions.csv', 'koniq10k_distributions_sets.csv'

def test_koniq10k_takes_the_zscore_from_either_file(tmp_path):
    tables = {}
    for key, files in dict(scores=[SCORES], sets=[SETS], both=[SCORES, SETS]).items():
        (tmp_path/key).mkdir()
        tables[key] = ds.koniq10k(laid_out(tmp_path/key, **{f: f for f in files}), check_images=False)
    truth = pd.read_csv(LABELS/SCORES).set_index('image_name')
    for key, table in tables.items():
        assert len(table) == 10073 and table.attrs['complete'] and table.attrs['scale'] == (0, 100)
        assert np.allclose(table.mos, truth.MOS_zscore[table.image_id], atol=1e-6)
        assert np.allclose(table.mos_std, 25 * truth.SD[table.image_id])
    assert set(tables['scores'].split) == {''}
    for key in ('sets', 'both'):
        assert [len(part) for part in ds.official_split(tables[key])[1:]] == [7058, 1000, 2015]


def test_koniq10k_refuses_the_vote_mean_for_the_zscore(tmp_path):
    frame = pd.read_csv(LABELS/SCORES)
    frame.drop(columns='MOS_zscore').to_csv(tmp_path/SCORES, index=False)
    with pytest.raises(ds.LabelError, match='mean of the votes 1-5') as caught: ds.koniq10k(tmp_path, check_images=False)
    assert len(caught.value.problems) == 10073


def test_tid2013_names_of_mixed_case(tmp_path):
    table = ds.tid2013(laid_out(tmp_path, **{'mos_with_names.txt': 'tid2013_mos_with_names.txt'}), check_images=False)
    assert len(table) == 3000 and table.attrs['complete']
    assert table.group.nunique() == 25 and table.distortion.nunique() == 24 and set(table.level) == {1, 2, 3, 4, 5}
    assert table.image_id[0] == 'I01_01_1.bmp' and table.mos[0] == 5.51429
    assert all(disjoint(table, s) for s in ds.random_splits(table, 5))
    assert {table.group.iloc[s.test].nunique() for s in ds.random_splits(table, 5)} == {5}


def test_csiq_is_turned_round(tmp_path):
    table = ds.csiq(laid_out(tmp_path, **{'csiq_label.txt': 'csiq_label.txt'}), check_images=False)
    assert len(table) == 866 and table.attrs['complete'] and table.group.nunique() == 30
    assert np.isclose(table.set_index('image_id').mos['1600.AWGN.1.png'], 1 - .061989)
    by_level = table.groupby('level').mos.mean()
    assert (by_level.diff().dropna() < 0).all() and table.attrs['conversion'].startswith('mos = 1 - dmos')
