import json
import shutil

import numpy as np
import pytest

from cml_jax.errors import UserError
from experiments.configs import ladder
from experiments.reports import style
from experiments.results import figures, keeping
from experiments.results.by_popularity import SHOWN, by_popularity
from tests.reports.reported_runs import axes_of
from tests.tiny import ROOT

KEPT = ROOT / "experiments" / "results" / "kept"


@pytest.fixture(scope="module")
def content():
    return json.loads((KEPT / figures.KEPT).read_text())


def test_ladder_goes_from_uniform_to_the_best_method(content):
    for data, rungs in content["ladder"].items():
        assert tuple(rungs) == ladder.RUNGS
        means = [figures.mean_and_deviation(rungs[rung]["ndcg@50"])[0] for rung in rungs]
        assert np.argmax(means) == len(means) - 1, data
    axes = axes_of(figures.ladder(content["ladder"]))
    assert axes[0].get_xlabel() == "Last.fm, test NDCG@50" and axes[1].get_xlabel() == "Last.fm, test MMR@50"
    names = axes[0].get_yticklabels()
    assert names[0].get_text() == "uniform, no constraint" and names[-1].get_text() == "soft second stage"
    assert [name.get_fontweight() for name in names] == ["normal"] * 7 + ["bold"]
    assert axes[0].patches[0].get_width() == pytest.approx(0.1354)


def test_numbers_of_the_ladder_and_the_batch_sizes_are_those_of_results_md(content):
    text = (ROOT / "RESULTS.md").read_text()
    for rungs in content["ladder"].values():
        for rung in ladder.RUNGS[:-1]:
            mean, deviation = rungs[rung]["ndcg@50"]
            assert f"{mean:.4f} ± {deviation:.4f}" in text
    for budget in ("passes", "steps"):
        for samplers in content[f"batch_size_{budget}"]["scores"].values():
            assert all(
                f"{mean:.4f} ± {deviation:.4f}" in text for pairs in samplers.values() for mean, deviation in pairs
            )


def test_seeds_are_averaged():
    assert figures.mean_and_deviation({"values": [0.1, 0.3]}) == pytest.approx((0.2, 0.2 / 2**0.5))
    assert figures.mean_and_deviation([0.1, 0.3]) == (0.1, 0.3)


def test_batch_sizes_have_a_line_a_sampler(content):
    figure = figures.batch_sizes(content["batch_size_steps"])
    assert figure.get_suptitle() == "Last.fm, 4,032 steps"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["uniform", "popularity", "two-stage (best)"]
    assert list(axes_of(figure)[0].containers[2][0].get_ydata()) == [0.2589, 0.3081, 0.3154, 0.313]


def test_popularity_figure_names_the_best_and_writes_whole_lists():
    kept = {keeping.TABLES[name].title: found for name, found in keeping.read(KEPT).items()}
    axes = axes_of(by_popularity(kept))
    assert [panel.get_title() for panel in axes] == [
        "Last.fm, best shown: soft second stage, item biases",
        "MovieLens-1M, best shown: ALS (implicit)",
        "Steam-200k, best shown: soft second stage, item biases",
        "Gowalla, best shown: soft second stage, item graph",
        "Yelp2018, best shown: soft second stage, item graph",
        "",  # no data set
    ]
    labels = [panel.get_ylabel() for panel in axes if panel.get_visible()]
    assert labels == ["NDCG@50", "NDCG@50", "NDCG, whole list", "NDCG@50", "NDCG@50"]
    colours = {line.get_label(): line.get_color() for line in axes[3].lines}
    assert colours == {style.method_name(name): style.METHODS[name].colour for name in SHOWN.values()}
    assert {text.get_text() for text in axes[0].figure.legends[0].get_texts()} == set(colours), "of the fullest panel"


def test_all_are_drawn_as_png_and_pdf_and_damage_is_named(tmp_path, content):
    kept = {keeping.TABLES["lastfm"].title: keeping.read(KEPT)["lastfm"]}
    names = ("batch_size_passes", "batch_size_steps", "by_popularity", "cutoff", "ladder")
    shutil.copy(KEPT / figures.KEPT, tmp_path)
    drawn = figures.draw(kept, tmp_path, tmp_path)
    assert sorted(path.name for path in drawn) == sorted(f"{name}.{end}" for name in names for end in ("png", "pdf"))
    (tmp_path / figures.KEPT).write_text(json.dumps(content | {"ladder": {"lastfm": {}}}))
    with pytest.raises(UserError, match=r"figures\.json: cannot be read as numbers of figures"):
        figures.draw(kept, tmp_path, tmp_path)
