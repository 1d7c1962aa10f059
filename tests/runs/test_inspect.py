"""experiments.inspect: a run's data set before anyone trains."""

from tests.tiny import commands


def test_inspect_shows_rows_log_and_sizes_and_writes_nothing(tmp_path):
    ratings = tmp_path / "ratings.csv"
    rows = [f"u{u};i{(u + i) % 7};{1 + (u * i) % 5}" for u in range(12) for i in range(7)]
    ratings.write_text("\n".join(["user;item;stars", *rows]) + "\n")
    key = f"--config.dataset.path={ratings}"
    stars = ["--config.dataset.rating_column=stars", "--config.dataset.min_rating=2"]
    lines = [[key, *stars], [key, "--config.dataset.user_column=who"], [key, "--config.dataset.pth=x"]]
    shown, no_column, no_key = commands([["experiments.inspect", *line] for line in lines], module=None)
    assert shown.returncode == 0 and shown.stderr == ""
    assert "│ u0   ┆ i0   ┆ 1     │" in shown.stdout and "separator ';'" in shown.stdout
    kept = sum(int(row.rpartition(";")[2]) >= 2 for row in rows)
    assert f"Kept {kept} of 84 pairs whose stars is at least 2." in shown.stdout
    assert "Follows from the data: " in shown.stdout and "Pairs of an item:" in shown.stdout
    assert no_column.returncode == 1 and "has no column 'who' (--config.dataset.user_column)" in no_column.stderr
    assert no_key.returncode == 1
    assert no_key.stderr == "error: config.dataset.pth is not a config key; did you mean --config.dataset.path?\n"
    assert [path.name for path in tmp_path.iterdir()] == ["ratings.csv"]
