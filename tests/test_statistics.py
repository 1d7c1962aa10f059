import numpy as np

from cml_jax.statistics import bootstrap_intervals


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
