import pytest

from experiments.benchmarks import heavy_user


@pytest.mark.slow
@pytest.mark.parametrize("task", heavy_user.TASKS)
def test_memory_hardly_grows_with_one_user_who_has_most_of_the_catalogue(task):
    without, heavy = (heavy_user.measure_apart(task, 400, 50_000, heavy=there, budget=16.0) for there in (False, True))
    assert heavy["peak"] <= 1.2 * without["peak"]
    assert heavy["growth"] <= 1.2 * without["growth"] + 30  # MiB: the allocator's own


def test_the_heavy_user_has_most_items_and_the_others_are_the_same():
    (without, test), (heavy, heavy_test) = (
        heavy_user.make_model(20, 1000, heavy=there, budget=1.0) for there in (False, True)
    )
    assert heavy.train.degrees[10] > 450 and heavy_test.degrees[10] > 300
    others = [user for user in range(20) if user != 10]
    for data in (without.train, test):
        assert data.degrees.max() <= 30
    degrees = heavy.train.degrees + heavy_test.degrees - without.train.degrees - test.degrees
    assert not degrees[others].any()
    for task in heavy_user.TASKS:
        heavy_user.run_task(task, heavy, heavy_test)
