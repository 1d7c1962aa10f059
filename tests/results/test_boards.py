import pytest

from cml_jax.errors import UserError
from experiments.results import boards, keeping, page
from tests.tiny import ROOT


def row(label, valid_listed=(), seconds=10.0, **values: list[float]):
    """A kept row with seeds' values of 'metric_at_k'."""
    named = {name.replace("_at_", "@"): scores for name, scores in values.items()}
    seeds = range(len(next(iter(named.values()))))
    runs = [
        {"metrics": {name: scores[seed] for name, scores in named.items()}, "wall_seconds": seconds} for seed in seeds
    ]
    return {"label": label, "config": {"model.dim": 64}, "runs": runs, "valid_listed": list(valid_listed)}


def published(name, inference="two vectors", **values):
    metrics = {key.replace("_at_", "@"): value for key, value in values.items()}
    return {
        "name": name,
        "inference": inference,
        "dim": 64,
        "selected_on": "test",
        "source": "A paper",
        "metrics": metrics,
    }


FOUND = {
    "gowalla": [
        published("graph one", "graph", recall_at_20=0.3, ndcg_at_20=0.1),
        published("vectors", recall_at_20=0.2, ndcg_at_20=0.15),
    ]
}


def lines_of(kept, found=FOUND):
    """board, metric -> the other cells, as the table shows them."""
    title, lines = "", {}
    for cells in boards.cells(kept, found)[1:]:
        title = cells[0] or title
        lines[title, cells[1]] = cells[2:]
    return lines


def test_a_board_has_the_best_published_row_of_each_metric_and_our_best_by_the_first():
    kept = {
        "gowalla": [
            row("als", recall_at_20=[0.05], ndcg_at_20=[0.05]),
            row("uniform-sphere", recall_at_20=[0.1], ndcg_at_20=[0.5]),
            row("softmax-sphere", recall_at_20=[0.24, 0.26], ndcg_at_20=[0.11, 0.13], seconds=30.4),
        ]
    }
    lines = lines_of(kept)
    assert lines["Gowalla", "Recall@20"] == [
        "0.3000 graph one",
        "0.2000 vectors",
        "0.2500 ± 0.0141 soft second stage",
        "behind by 0.0500, ahead by 0.0500 of two vectors",
        "-",
        "30",
    ]
    assert lines["Gowalla", "NDCG@20"] == [
        *("0.1500 vectors", "0.1500 vectors", "0.1200 ± 0.0141 soft second stage", "behind by 0.0300", "-", ""),
    ]


def test_rows_of_other_dimensions_are_not_compared_where_published_rows_have_64():
    kept = [
        row("softmax-sphere", recall_at_20=[0.2], ndcg_at_20=[0.2], ndcg_at_50=[0.2]),
        row("wide", recall_at_20=[0.3], ndcg_at_20=[0.3], ndcg_at_50=[0.3]) | {"config": {"model.dim": 128}},
    ]
    lines = lines_of({"gowalla": kept, "lastfm": kept})
    assert lines["Gowalla", "Recall@20"][2] == "0.2000 soft second stage"
    assert lines["Last.fm", "NDCG@50"][2] == "0.3000 wide"


def test_boards_without_a_kept_result_say_so():
    lines = lines_of({}, FOUND)
    assert lines["Gowalla", "Recall@20"] == ["0.3000 graph one", "0.2000 vectors", "no kept result", "-", "-", "-"]
    assert lines["Last.fm", "NDCG@50"][0] == "-"


def test_baselines_of_libraries_are_among_the_others():
    kept = {
        "lastfm": [
            row("popular", ndcg_at_50=[0.9]),  # nobody's method
            row("als", ndcg_at_50=[0.3, 0.32]),
            row("ease", ndcg_at_50=[0.33]),
            row("two_stage-sphere", ndcg_at_50=[0.32]),
        ]
    }
    assert lines_of(kept)["Last.fm", "NDCG@50"] == [
        "0.3300 EASE (irspack), measured here",
        "0.3100 ALS (implicit), measured here",
        "0.3200 two-stage",
        "behind by 0.0100, ahead by 0.0100 of two vectors",
        "-",
        "10",
    ]


def test_the_best_test_score_along_the_way_has_a_column_of_its_own():
    """It is that of every seed or none, and never what is compared."""
    kept = row("softmax-sphere", recall_at_20=[0.1, 0.2], ndcg_at_20=[0.1, 0.2])
    along = [{"step": 8, "metrics": {"recall@20": value, "ndcg@20": value + 0.1}} for value in (0.4, 0.42)]
    for run, best_test in zip(kept["runs"], along, strict=True):
        run["best_test"] = best_test
    lines = lines_of({"gowalla": [kept]})
    assert lines["Gowalla", "Recall@20"][3:5] == [
        "behind by 0.1500, behind by 0.0500 of two vectors",
        "0.4100 ± 0.0141",
    ]
    assert lines["Gowalla", "NDCG@20"][4] == "0.5100 ± 0.0141"
    kept["runs"][1]["best_test"] = {}
    assert lines_of({"gowalla": [kept]})["Gowalla", "Recall@20"][4] == "-"


def test_a_baseline_without_the_scores_of_a_board_is_not_compared():
    metrics = boards.BOARDS["steam"].metrics
    values = {name.replace("@", "_at_"): [0.9] for name in metrics}
    found = {"steam": [{**published("rival"), "metrics": dict.fromkeys(metrics, 0.22)}]}
    for scored, shown in (([], "22.00 rival"), ([dict.fromkeys(metrics, 0.3)], "30.00 SLIM (irspack), measured here")):
        assert lines_of({"steam": [row("slim", scored, 10.0, **values)]}, found)["Steam-200k", "P@3"][0] == shown


@pytest.mark.parametrize(
    ("few_left_out", "shown", "note"), [(None, "20.00", "of all users"), (0.25, "25.00", "leave out")]
)
def test_steam_is_compared_by_what_libcml_does(few_left_out, shown, note):
    metrics = boards.BOARDS["steam"].metrics
    scored = dict.fromkeys(metrics, 0.2)
    if few_left_out is not None:
        scored |= {name + keeping.FEW_LEFT_OUT: few_left_out for name in ("map@5113", "mrr@5113")}
    own = dict.fromkeys(metrics, 0.9)
    kept = {
        "steam": [row("softmax-sphere", [scored], 10.0, **{name.replace("@", "_at_"): [x] for name, x in own.items()})]
    }
    found = {"steam": [{**published("rival"), "metrics": dict.fromkeys(metrics, 0.22)}]}
    lines = lines_of(kept, found)
    assert lines["Steam-200k", "MAP"][2] == f"{shown} soft second stage"
    assert lines["Steam-200k", "NDCG@3"][2:4] == ["20.00 soft second stage", "behind by 2.00"]
    assert note in boards.as_markdown(kept, found)


def test_published_rows_have_sources_and_say_what_chose_them():
    for name, rows in boards.published().items():
        assert len({one["name"] for one in rows}) == len(rows)
        for one in rows:
            assert one["metrics"].keys() == boards.BOARDS[name].metrics.keys()
            assert all(0 < value < 1 for value in one["metrics"].values())
            assert one["selected_on"] in ("test", "validation", "not checked")
            assert one["source"].split()[-1].rstrip(")").isdigit() or one["source"].endswith("lists it")
    (cml,) = [one for one in boards.published()["gowalla"] if one["name"].startswith("CML")]
    assert cml["dim"] == 100 and "1,000 users" in cml["name"]
    text = boards.published_table("gowalla", FOUND)
    assert text.splitlines()[2] == "| graph one | graph | 64 | test | 0.3000 | 0.1000 | A paper |"


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "published.json").write_text("[{")
    with pytest.raises(UserError, match=r"published\.json: cannot be read as published rows; restore it"):
        boards.published(tmp_path / "published.json")


def test_the_terminal_shows_what_the_page_has_with_columns_aligned():
    shown, page_text = page.leaderboard(), (ROOT / "RESULTS.md").read_text()
    heads, *lines = shown.partition("\n\n")[0].splitlines()
    place = heads.index("ours")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines)
    for cells in boards.cells(keeping.read(ROOT / "experiments/results/kept"), boards.published()):
        assert "| " + " | ".join(cells) + " |" in page_text
    assert len(lines) == sum(len(board.metrics) for board in boards.BOARDS.values())
