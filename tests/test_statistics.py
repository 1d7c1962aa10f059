import math

import numpy as np
import pytest

from cml_jax.statistics import bootstrap_intervals, holm, paired_bootstrap, student_interval


def test_intervals_hold_the_true_mean_as_often_as_they_say():
    """Of 300 samples of 80 skewed values, about 95 % of the intervals should hold the mean 1 of the exponential law.

    Skew costs some: 90 % to 97 % is accepted, which a binomial of 0.94 leaves with a probability below 0.02.
    """
    rng = np.random.default_rng(5)
    samples = {str(number): rng.exponential(size=80) for number in range(300)}
    intervals = bootstrap_intervals(samples)
    held = np.mean([low <= 1.0 <= high for low, high in intervals.values()])
    assert 0.90 <= held <= 0.97


def test_intervals_equal_the_normal_theory_where_it_holds():
    values = np.random.default_rng(6).normal(3.0, 2.0, size=4000)
    ((low, high),) = bootstrap_intervals({"x": values}).values()
    half = 1.96 * values.std() / np.sqrt(len(values))
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.15 * half)


def test_intervals_are_reproducible_and_survive_small_samples():
    rng = np.random.default_rng(7)
    per_user = {"a": rng.random(30), "b": rng.random(30)}
    assert bootstrap_intervals(per_user) == bootstrap_intervals(per_user)
    narrow, wide = (bootstrap_intervals(per_user, level)["a"] for level in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert bootstrap_intervals({"a": np.array([0.25])}) == {"a": (0.25, 0.25)}
    assert bootstrap_intervals({"a": np.zeros(9)}) == {"a": (0.0, 0.0)}


def test_intervals_do_not_depend_on_how_much_fits_in_memory(monkeypatch):
    per_user = {"a": np.random.default_rng(8).random(50)}
    whole = bootstrap_intervals(per_user)
    monkeypatch.setattr("cml_jax.statistics._MEMORY", 1)
    assert bootstrap_intervals(per_user) == whole


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.05])
def test_paired_bootstrap_equals_resampling_by_hand(shift):
    """With other random draws: p-values of 9,999 scatter by sqrt(p / 9999) at most; four times that of two passes."""
    rng = np.random.default_rng(9)
    second = rng.random(150)
    first = np.clip(second + shift + rng.normal(0, 0.2, 150), 0, 1)
    found = paired_bootstrap(first, second)

    differences = first - second
    draws = [differences[rng.integers(0, 150, 150)].mean() for _ in range(9999)]
    extreme = sum(abs(draw - differences.mean()) >= abs(differences.mean()) for draw in draws)
    p_value = (extreme + 1) / 10000
    assert found.difference == pytest.approx(first.mean() - second.mean(), abs=1e-12)
    assert abs(found.p_value - p_value) <= 4 * math.sqrt(2 * p_value / 9999)
    np.testing.assert_allclose([found.low, found.high], np.quantile(draws, [0.025, 0.975]), atol=0.0015)


def test_paired_bootstrap_raises_a_false_alarm_as_often_as_it_says():
    """Two systems of one law on 60 users, whose values agree by user: p < 0.05 in about 5 % of 600 samples.

    The bootstrap is a little too sure in small samples: 2.5 % to 8 % is accepted, which a binomial of 0.055 leaves with
    a probability below 0.01. Unpaired, the users' own scatter would hide everything, and the rate would be near 0.
    """
    rng = np.random.default_rng(10)
    alarms = 0
    for _ in range(600):
        user = rng.exponential(size=60)
        first, second = (user + rng.normal(0, 0.2, 60) for _ in range(2))
        alarms += paired_bootstrap(first, second, num_resamples=499).p_value < 0.05
    assert 0.025 <= alarms / 600 <= 0.08


def test_paired_bootstrap_sees_a_difference_and_its_sign_and_is_never_certain():
    user = np.random.default_rng(11).random(200)
    noise = np.random.default_rng(12).normal(0, 0.01, 200)
    better, worse = paired_bootstrap(user + 0.02 + noise, user), paired_bootstrap(user, user + 0.02 + noise)
    assert better.p_value == worse.p_value == 1 / 10000
    assert better.low > 0 > worse.high and better.difference == -worse.difference
    assert paired_bootstrap(user, user) == (0.0, 0.0, 0.0, 1.0)
    assert paired_bootstrap(user[:1] + 0.5, user[:1]).p_value == 1.0


def test_paired_bootstrap_does_not_depend_on_how_much_fits_in_memory(monkeypatch):
    first, second = np.random.default_rng(13).random((2, 50))
    whole = paired_bootstrap(first, second, num_resamples=99)
    monkeypatch.setattr("cml_jax.statistics._MEMORY", 1)
    assert paired_bootstrap(first, second, num_resamples=99) == whole


def test_holm_multiplies_by_the_number_of_tests_left():
    """0.01 x 4, 0.02 x 3, 0.025 x 2 raised to 0.06, 0.9; each by hand."""
    assert holm([0.02, 0.9, 0.01, 0.025]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    assert holm([0.4, 0.4, 0.4]) == [1.0, 1.0, 1.0]
    assert holm([0.3]) == [0.3] and holm([]) == []


def test_student_interval_equals_a_table():
    """t is 4.303 for three values and 12.706 for two."""
    np.testing.assert_allclose(student_interval([1.0, 2.0, 3.0]), [2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5], atol=1e-3)
    np.testing.assert_allclose(student_interval([0.0, 2.0]), [1 - 12.706, 1 + 12.706], atol=1e-2)
