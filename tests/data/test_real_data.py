"""What is known of public data sets; skipped where they are not at hand."""

import pytest

from cml_jax.data import datasets
from tests.tiny import ROOT

SAMPLE = ROOT.parent / "shared" / "data" / "echonest-sample"


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of the Taste Profile is not beside the project")
@pytest.mark.parametrize(("min_rating", "num_pairs"), [(1, 42_739), (10, 2_377)])
def test_taste_profile_sample_has_its_pairs_before_the_user_filter(min_rating, num_pairs):
    dataset = datasets.load("echonest", str(SAMPLE), "echonest", min_rating=min_rating, min_user_items=10)
    assert dataset.notes[0].startswith(f"Kept {num_pairs:,} of 42,739 pairs whose play count is at least {min_rating}.")
    assert f" of {num_pairs:,} pairs" in dataset.notes[1]
    degrees = dataset.train.degrees + dataset.valid.degrees + dataset.test.degrees
    assert degrees.min() >= 10
