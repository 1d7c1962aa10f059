import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from cml_jax.models import MODELS
from experiments.reports import style

# Machado, Oliveira and Fernandes 2009, severity 1; they act on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
COMPARED_MOST = ("uniform", "popularity", "two_stage", "softmax", "bpr", "als")


def lab(colour, deficiency):
    """CIELAB (D65) of a colour as a reader with a deficiency sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colours_are_told_apart_whatever_the_colour_deficiency(deficiency):
    for first, second in itertools.combinations(COMPARED_MOST, 2):
        colours = [lab(style.METHODS[name].colour, deficiency) for name in (first, second)]
        assert np.linalg.norm(colours[0] - colours[1]) > 15, (first, second)


def test_methods_differ_without_colour_and_have_names_of_their_own():
    methods = style.METHODS.values()
    assert len({(str(method.line), method.marker) for method in methods}) == len(methods)
    assert len({method.marker for method in methods}) == len(methods)
    assert len({method.name for method in methods}) == len(methods)


def test_every_model_has_a_look():
    for name in MODELS:
        method = style.method_of({"sampler.name": "uniform", "model.loss": "triplet", "model.name": name})
        assert method in style.METHODS


def test_a_line_has_its_methods_colour_whatever_is_beside_it():
    alone = style.line_styles(["softmax"])
    beside = style.line_styles(["uniform", "new", "softmax"])
    assert alone[0] == beside[2] and alone[0]["color"] == style.METHODS["softmax"].colour
    assert style.marker_styles(["uniform", "softmax"])[1]["color"] == style.METHODS["softmax"].colour
    assert len({style["color"] for style in style.line_styles(["new", "newer", "uniform"])}) == 3


def test_lines_of_one_method_are_shades_that_differ_in_grey_too():
    found = style.line_styles(["softmax"] * 40)
    assert len({tuple(map(str, kind.values())) for kind in found}) == 40
    assert len({(str(kind["linestyle"]), kind["marker"]) for kind in found[:12]}) == 12
    brightness = [sum(kind["color"]) for kind in found]
    assert brightness == sorted(brightness) and brightness[0] < brightness[-1]


@pytest.mark.parametrize(
    ("config", "method", "name"),
    [
        ({"sampler.name": "two_stage", "model.loss": "triplet", "model.name": None}, "two_stage", "two-stage"),
        ({"sampler.name": "uniform", "model.loss": "triplet", "model.name": "cml"}, "uniform", "uniform"),
        ({"sampler.name": "two_stage", "model.loss": "softmax"}, "softmax", "soft second stage"),
        ({"sampler.name": "uniform", "model.loss": "bpr", "model.name": "inner_product"}, "bpr", "BPR"),
        ({"sampler.name": "uniform", "model.loss": "triplet", "model.name": "sml"}, "sml", "SML"),
        ({"baseline.name": "popular"}, "popular", "most popular"),
        ({"sampler.name": "hard_ones", "model.loss": "triplet"}, "hard_ones", "hard ones"),
    ],
)
def test_methods_are_known_by_their_configs(config, method, name):
    assert style.method_of(config) == method and style.method_name(method) == name


def test_metrics_and_data_sets_are_written_for_people():
    assert style.written("ndcg@50") == style.written("ndcg@50", 51) == "NDCG@50"
    assert style.written("ndcg@5113", 5113) == "NDCG, whole list"
    assert style.written("recall@20") == "Recall@20" and style.written("hit_rate@3") == "Hit rate@3"
    assert style.data_name("steam-200k") == "Steam-200k" and style.data_name("mine") == "mine"


def test_files_are_png_and_pdf_with_text_as_text_and_repeat_to_the_byte(tmp_path):
    @style.styled
    def draw():
        figure = style.new_figure(style.COLUMN, 1.0)
        figure.subplots().set_xlabel("a label")
        return figure

    png, pdf = style.save(draw(), tmp_path / "one.png")
    assert (png.name, pdf.name) == ("one.png", "one.pdf")
    assert png.read_bytes().startswith(b"\x89PNG") and pdf.read_bytes().startswith(b"%PDF")
    assert b"/TrueType" in pdf.read_bytes() or b"/CIDFontType2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()
    again = style.save(draw(), tmp_path / "two")
    assert [path.read_bytes() for path in again] == [png.read_bytes(), pdf.read_bytes()]


def test_names_with_a_dot_keep_it(tmp_path):
    paths = style.save(Figure(figsize=(1, 1)), tmp_path / "report-a.b")
    assert [path.name for path in paths] == ["report-a.b.png", "report-a.b.pdf"]
