import numpy as np
import pytest

from cml_jax import defaults
from cml_jax.data.interactions import Interactions


def sized(num_users, num_items, num_pairs):
    """Interactions of these sizes, all of the last user, with nothing in memory."""
    indptr = np.zeros(num_users + 1, np.int64)
    indptr[-1] = num_pairs
    return Interactions(indptr, np.broadcast_to(np.int32(0), num_pairs), num_items)


@pytest.mark.parametrize("num_pairs", [1, 3, 5, 22, 31, 33, 900, 1500, 2047, 2049, 40_000, 500_000, 1_048_576])
def test_batch_size_is_the_power_of_two_nearest_to_the_root_of_the_pairs(num_pairs):
    """Nearest by the ratio; the numbers of users and items do not matter."""
    powers = 2.0 ** np.arange(12)
    ratios = np.maximum(powers**2, num_pairs) / np.minimum(powers**2, num_pairs)
    for num_users, num_items in ((3, 5000), (5000, 3)):
        found = defaults.batch_size(sized(num_users, num_items, num_pairs))
        assert type(found) is int and found == powers[np.argmin(ratios)] <= num_pairs


@pytest.mark.parametrize("num_pairs", [2_000_000, 3_000_000, 10**8])
def test_batch_size_stops_at_1024(num_pairs):
    assert defaults.batch_size(sized(7, 11, num_pairs)) == 1024


@pytest.mark.parametrize(
    ("num_users", "num_items", "expected"),
    [(3000, 11, 11), (7, 999, 999), (7, 1000, 1000), (5, 1001, 1000), (20, 90_000, 1000)],
)
def test_candidates_are_a_thousand_or_the_catalogue(num_users, num_items, expected):
    assert defaults.num_candidates(sized(num_users, num_items, 4000)) == expected


@pytest.mark.parametrize(
    ("num_users", "num_items", "expected"),
    [
        (3000, 1, (1,)),
        (3000, 19, (19,)),
        (7, 20, (20,)),
        (7, 21, (20, 21)),
        (3000, 49, (20, 49)),
        (7, 50, (20, 50)),
        (3, 51, (20, 50)),
        (3, 90_000, (20, 50)),
    ],
)
def test_cutoffs_are_20_and_50_where_the_catalogue_has_as_many(num_users, num_items, expected):
    assert defaults.cutoffs(sized(num_users, num_items, 4000)) == expected


@pytest.mark.parametrize("num_pairs", [1, 22, 900, 9000, 15_999, 16_000, 16_001, 60_000, 10**7])
def test_passes_are_16_or_what_2000_steps_take(num_pairs):
    for num_users, num_items in ((3, 5000), (5000, 3)):
        train = sized(num_users, num_items, num_pairs)
        seen = 2000 * defaults.batch_size(train)
        enough = next(passes for passes in range(16, 10_000) if passes * num_pairs >= seen)
        found = defaults.num_passes(train)
        assert type(found) is float and found == enough


@pytest.mark.parametrize(
    ("num_users", "num_items", "num_pairs", "expected"),
    [
        (1000, 400, 1000, 0.12),  # the density at which it is 0.12
        (25, 400, 25 * 32, 0.12 * 2**0.75),  # 32 times as dense
        (6400, 500, 250, 0.08),  # 32 times as sparse: 0.071
        (8000, 50, 500, 0.12 / 2**0.15),
        (3, 40, 120, 0.25),  # every pair: 0.295
        (90_000, 7000, 1000, 0.08),
    ],
)
def test_temperature_is_a_power_of_the_density_within_bounds(num_users, num_items, num_pairs, expected):
    found = defaults.temperature(sized(num_users, num_items, num_pairs))
    assert type(found) is float and found == round(expected, 3)
    assert defaults.temperature(sized(num_items, num_users, num_pairs)) == found


@pytest.mark.parametrize(
    ("num_users", "num_items", "num_pairs", "expected"),
    [
        (1000, 500, 1000, 1.1),  # the density at which it is 1.1
        (1000, 1000, 1000, 1 + 0.1 * 2**0.6),
        (32, 500, 32 * 32, 1 + 0.1 / 2**3),  # 32 times as dense
        (90_000, 7000, 1000, 1.2),
        (10, 10, 100, 1 + 0.1 * 0.002**0.6),  # every pair
    ],
)
def test_exponent_of_the_negative_part_falls_with_the_density_to_one(num_users, num_items, num_pairs, expected):
    found = defaults.negative_exponent(sized(num_users, num_items, num_pairs))
    assert type(found) is float and found == round(expected, 3)
    assert defaults.negative_exponent(sized(num_items, num_users, num_pairs)) == found
