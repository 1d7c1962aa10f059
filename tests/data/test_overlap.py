import numpy as np

from cml_jax.data import overlap, splits
from cml_jax.data.overlap import Counts
from tests.data.test_tables import make_table


def test_users_items_and_pairs_of_held_out_parts_are_counted():
    """Item 2 and user 2 are not in training; pair (0, 1) is in training and in test."""
    pairs, parts = [(0, 0), (0, 1), (1, 0), (0, 2), (0, 1), (1, 2), (2, 0)], [0, 0, 0, 1, 2, 2, 2]
    found = overlap.measure(make_table(pairs, parts=parts), np.array(parts))
    valid, test = found.parts
    assert (valid.part, valid.all, valid.known) == ("valid", Counts(1, 1, 1), Counts(1, 0, 0))
    assert (test.part, test.all, test.known) == ("test", Counts(3, 3, 3), Counts(2, 2, 1))
    assert found.times is None
    assert overlap.report(found) == (
        "Of validation, 1 of 1 users (100.0%), 0 of 1 items (0.0%), 0 of 1 pairs (0.0%) are in training.",
        "Of test, 2 of 3 users (66.7%), 2 of 3 items (66.7%), 1 of 3 pairs (33.3%) are in training.",
    )


def test_times_that_overlap_are_counted_by_pair_and_by_user():
    """User 0 trains after the own test pair, user 1 after that of user 0, user 2 before all, user 3 does not train."""
    rows = [
        (0, 0, 30, 0),
        (0, 1, 20, 2),
        (1, 0, 25, 0),
        (1, 1, 40, 2),
        (2, 0, 5, 0),
        (2, 1, 29, 2),
        (3, 1, 21, 2),
        (2, 2, 30, 2),
    ]
    table = make_table([row[:2] for row in rows], times=[row[2] for row in rows])._replace(time_unit="steps")
    found = overlap.measure(table, np.array([row[3] for row in rows])).times
    assert found is not None
    assert (found.newest_train, found.oldest_test) == (30, 20)
    assert (found.older_pairs, found.num_pairs) == (3, 5), "those at 20, 29 and 21, but not the one at 30"
    assert (found.ahead_of_own, found.ahead_of_any, found.num_users) == (1, 2, 3)
    assert overlap.times_sentence(found) == (
        "Newest training pair 30, oldest test pair 20: 3 of 5 test pairs are older than the newest training pair; of 3 "
        "users, 1 have a training pair newer than a test pair of their own, 2 one newer than a test pair of anyone."
    )


def test_equal_times_are_not_newer():
    rows = [(0, 0, 20, 0), (0, 1, 20, 2), (1, 0, 20, 0), (1, 1, 25, 2)]
    table = make_table([row[:2] for row in rows], times=[row[2] for row in rows])
    found = overlap.measure(table, np.array([row[3] for row in rows])).times
    assert found is not None and (found.older_pairs, found.ahead_of_own, found.ahead_of_any) == (0, 0, 0)


def test_log_of_a_split_says_how_far_times_overlap():
    """A split at one point of time leaves no overlap, one at random does."""
    rng = np.random.default_rng(0)
    table = make_table([(u, i) for u in range(6) for i in range(10)], times=rng.permutation(60) * 86_400)
    table = table._replace(time_unit="s")
    by_time, at_random = splits.split(table, "temporal_global"), splits.split(table, "ratio")
    (said,) = [note for note in by_time.notes if note.startswith("Newest")]
    assert said.endswith("oldest test pair 1970-02-18: no test pair is older than a training pair.")
    (said,) = [note for note in at_random.notes if note.startswith("Newest")]
    assert "of 12 test pairs are older than the newest training pair" in said
    assert at_random.overlap is not None and at_random.overlap.times is not None
    assert at_random.overlap.times.older_pairs > 0
    assert splits.split(table, "all").overlap == overlap.Overlap((), None)
