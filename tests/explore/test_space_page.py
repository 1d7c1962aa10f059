"""The page in a browser: what it shows against what was computed, and nothing of the data runs."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

import cml_jax
from experiments.space import content, negatives, page, users
from experiments.space.content import Wanted
from tests.browser import DESKTOP, PHONE, opened_browser, opened_page
from tests.hostile import HOSTILE

NUM_USERS, NUM_ITEMS = 40, 60


def pairs():
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(NUM_USERS) for item in rng.choice(NUM_ITEMS, 8, replace=False)]
    return {"user": [f"u{user}" for user, _ in rows], "item": [f"i{item}" for _, item in rows]}


def fitted(**options):
    """A small model of two-stage sampling whose users all have a validation item."""
    quick = {"num_steps": 30, "progress": False, "dim": 8, "batch_size": 32, "ks": (5,), "valid_fraction": 0.2}
    return cml_jax.fit(pairs(), loss="triplet", sampler="two_stage", num_candidates=40, **quick, **options)


@pytest.fixture(scope="module")
def model():
    ids = [f"i{item}" for item in range(NUM_ITEMS)]
    features = {
        "item": ids,
        "genre": [f"g{i % 3}" for i in range(NUM_ITEMS)],
        "year": [float(i) for i in range(NUM_ITEMS)],
    }
    return fitted(item_features=features, item_titles={"item": ids, "title": [f"Title Ä{i}" for i in range(NUM_ITEMS)]})


@pytest.fixture(scope="module")
def made(model):
    return content.make(model, "tiny", Wanted(users=("u7",), num_users=12, num_pair_users=4, k=5, neighbours=6))


@pytest.fixture(scope="module")
def file(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "space.html"
    page.write(made, path)
    return path


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as found:
        yield found


@pytest.fixture
def desktop(browser, file):
    with opened_page(browser, file, DESKTOP) as opened:
        yield opened


def texts(opened, selector):
    return opened.locator(selector).all_text_contents()


def place_on_screen(opened, place):
    """Where the dot of an item is."""
    return opened.evaluate(
        """place => { const map = document.getElementById("map"), box = map.getBoundingClientRect();
        const { xaxis, yaxis } = map._fullLayout, { x, y } = map.data[0];
        return [box.left + xaxis._offset + xaxis.d2p(x[place]), box.top + yaxis._offset + yaxis.d2p(y[place])]; }""",
        place,
    )


def test_a_search_leads_to_an_item_and_its_neighbours(desktop, model):
    desktop.fill("#search", "title a1")  # without the dots of the letter, in any case
    assert [text.split(" i")[0] for text in texts(desktop, "#search-list [role=option]")] == [
        f"Title Ä{i}" for i in (1, *range(10, 20))
    ]
    desktop.keyboard.press("ArrowDown")
    desktop.keyboard.press("ArrowDown")
    desktop.keyboard.press("Enter")
    assert desktop.input_value("#search") == "" and desktop.locator("#search-list").is_hidden()
    assert texts(desktop, "#item > .name bdi") == ["Title Ä10"]
    nearest = model.similar_items("i10", 6)
    shown = [text.split(" ")[-1] for text in texts(desktop, "#neighbours .id")]
    assert shown == nearest["item"].to_list()
    distances = [float(text) for text in texts(desktop, "#neighbours .number")]
    np.testing.assert_allclose(distances, np.sqrt(-nearest["score"].to_numpy()), atol=6e-4)
    desktop.click("#neighbours .item >> nth=0")
    assert texts(desktop, "#item dd")[0] == nearest["item"][0]
    desktop.fill("#search", "no such item")
    assert texts(desktop, "#search-list li") == ["Nothing found"]


def test_a_click_chooses_the_item_and_arrows_go_on_from_it(desktop, made):
    x, y = place_on_screen(desktop, 11)
    desktop.mouse.move(x, y)
    desktop.wait_for_selector("#tip:not([hidden])")
    under = desktop.locator("#tip bdi").first.text_content()
    desktop.mouse.click(x, y)
    desktop.wait_for_selector("#neighbours")
    title = desktop.locator("#item > .name bdi").text_content()
    place = made["items"]["title"].index(title)
    found = place_on_screen(desktop, place)
    assert title == under and np.hypot(found[0] - x, found[1] - y) < 12  # of dots that cover each other either
    desktop.focus("#map")
    desktop.keyboard.press("ArrowRight")
    beside = made["items"]["title"].index(desktop.locator("#item > .name bdi").text_content())
    right = made["maps"][0]["x"]
    assert beside == place or right[beside] > right[place]


def test_the_map_is_drawn_and_coloured(desktop):
    def colours():
        desktop.wait_for_timeout(300)
        picture = Image.open(io.BytesIO(desktop.locator("#map").screenshot())).convert("RGB").quantize(64)
        return len([count for count, _ in picture.getcolors() or () if count > 20])

    desktop.wait_for_function("document.getElementById('map').data[0].x.length === 60")
    assert colours() > 8
    for value, legend in (("cluster", "Cluster 1"), ("feature-0", "g0"), ("feature-1", "year")):
        desktop.select_option("#colour", value)
        desktop.wait_for_function(f"document.getElementById('legend').textContent.includes('{legend}')")
        assert colours() > 8


def test_popularity_sliders_leave_items_out(desktop, made):
    counts = np.asarray(made["items"]["popularity"])
    steps = np.unique(counts)
    desktop.fill("#least", "2")
    desktop.wait_for_function(f"document.getElementById('count').textContent === '{(counts >= steps[2]).sum()} items'")
    desktop.fill("#most", "1")  # takes the other along
    desktop.wait_for_function(f"document.getElementById('count').textContent === '{(counts == steps[1]).sum()} items'")
    assert desktop.text_content("#least-shown") == f"{steps[1]} training users"
    assert desktop.evaluate("document.getElementById('map').data[0].x.length") == (counts == steps[1]).sum()


def test_users_have_their_lists_and_reasons(desktop, model):
    desktop.click("#tab-users")
    desktop.fill("#search-b", "u7")
    desktop.keyboard.press("Enter")
    assert texts(desktop, ".user-id")[1] == "u7"
    table = model.with_titles(model.recommend("u7", k=5))
    assert texts(desktop, "#user-b .recommended .item bdi:first-child") == table["title"].to_list()
    distances = [float(text) for text in texts(desktop, "#user-b .recommended .number")]
    np.testing.assert_allclose(distances, np.sqrt(-table["score"].to_numpy()), atol=6e-4)
    history = model.train.row(int(model.user_ids.rows("u7")[0]))
    assert sorted(texts(desktop, "#user-b .history .item bdi:first-child")) == sorted(model.item_titles[history])
    points = np.asarray(model.item_points)
    first = points[model.item_ids.rows(table["item"][0])[0]]
    nearest = history[np.argsort(np.linalg.norm(points[history] - first, axis=1))[: users.REASONS]]
    assert texts(desktop, "#user-b .reasons >> nth=0 >> bdi") == model.item_titles[nearest].tolist()


@pytest.mark.parametrize("cutoff", [None, 0.35, 1.0])
def test_shares_at_the_cutoff_of_the_slider_are_those_of_the_sampler(desktop, model, made, cutoff):
    stage1 = negatives.draw_stage1(model)
    listed = users.describe(model, users.choose(model, ["u7"], 12), 5)
    desktop.click("#tab-negatives")
    desktop.select_option("#negatives-user", "1")
    desktop.select_option("#positive", "2")
    if cutoff is not None:
        desktop.fill("#cutoff", str(cutoff))
        wanted = "none" if cutoff == 1 else f"{cutoff:.2f}"
        desktop.wait_for_function(f"document.getElementById('cutoff-shown').textContent === '{wanted}'")
    drawn = negatives.describe(model, stage1, listed[1])
    pair = drawn.pairs[2]
    shares = negatives.stage2_shares(stage1, pair.similarity, ~pair.known, cutoff)["two_stage"]
    now = negatives.summary(shares, pair.similarity, pair.held_out, model.train.popularity[stage1.ids])
    expected = pair.summaries | {"two_stage": now}
    for method, numbers in expected.items():
        for column, value in numbers.items():
            cell = f"#shares tr[data-method={method}] td[data-column={column}]"
            assert float(desktop.get_attribute(cell, "data-value")) == pytest.approx(value, rel=2e-4, abs=1e-7)
    # What is on the map and drawn most, for every method.
    of_method = {
        "two_stage": shares,
        "no_cutoff": negatives.stage2_shares(stage1, pair.similarity, ~pair.known)["no_cutoff"],
        "softmax": negatives.softmax_shares(stage1, drawn.cosine, ~pair.known),
    }
    for method, exact in of_method.items():
        desktop.click(f"#shares input[value={method}]")
        rows = texts(desktop, "#most-drawn .number")
        assert [float(text.split(", ")[-1].strip("<% ")) / 100 for text in rows] == pytest.approx(
            np.sort(exact)[::-1][: len(rows)].tolist(), rel=0.01, abs=1e-4
        )
    bins = desktop.evaluate("document.getElementById('falls').data[2].y")[:-1]
    inside = np.histogram(np.clip(pair.similarity, -1, 1), negatives.EDGES, weights=shares)[0]
    np.testing.assert_allclose(bins, inside, atol=2e-4)


def test_tabs_and_theme_by_keyboard(desktop):
    desktop.focus("#tab-items")
    desktop.keyboard.press("ArrowRight")
    assert desktop.evaluate("document.activeElement.id") == "tab-users"
    assert desktop.locator("#panel-users").is_visible() and desktop.locator("#panel-items").is_hidden()
    desktop.keyboard.press("ArrowLeft")
    desktop.keyboard.press("ArrowLeft")
    assert desktop.locator("#panel-negatives").is_visible()
    ground = desktop.evaluate("getComputedStyle(document.body).backgroundColor")
    desktop.select_option("#colour", "cluster")
    desktop.focus("#theme")
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    desktop.wait_for_function("document.querySelectorAll('#legend path[fill^=rgb]').length > 8")  # lightened
    fills = desktop.eval_on_selector_all("#legend path[fill^=rgb]", "all => all.map(one => one.getAttribute('fill'))")
    assert min(max(int(channel) for channel in fill[4:-1].split(",")) for fill in fills) > 110
    seen = []
    for _ in range(14):
        desktop.keyboard.press("Tab")
        seen.append(desktop.evaluate("document.activeElement.id"))
    assert {"map-name", "colour", "map", "least", "most", "tab-negatives", "cutoff"} <= set(seen)
    assert desktop.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    unlabelled = desktop.evaluate(
        """() => Array.from(document.querySelectorAll("button, input, select")).filter(one =>
        !one.textContent.trim() && !one.getAttribute("aria-label") && !one.labels?.length).length"""
    )
    assert unlabelled == 0


def test_a_page_without_negatives_says_so(browser, made, tmp_path):
    page.write(made | {"negatives": made["negatives"] | {"users": []}}, tmp_path / "none.html")
    with opened_page(browser, tmp_path / "none.html", DESKTOP) as opened:
        opened.click("#tab-negatives")
        assert opened.locator("#no-negatives").is_visible() and opened.locator("#of-negatives").is_hidden()


@pytest.mark.parametrize("tab", ["items", "users", "negatives"])
def test_nothing_is_wider_than_a_phone(browser, file, tab):
    with opened_page(browser, file, PHONE, color_scheme="dark") as phone:
        phone.click(f"#tab-{tab}")
        phone.wait_for_timeout(200)
        assert phone.evaluate("document.querySelector('.wide-table').scrollWidth") <= PHONE["width"]
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert phone.evaluate("document.documentElement.dataset.theme") == "dark"


def test_no_text_of_the_data_runs_or_changes_the_page(browser, tmp_path):
    """As titles, ids, names and values of features, and the name of the data set."""
    names = [text or "empty" for text in HOSTILE]
    rename = dict(zip([f"i{i}" for i in range(len(names))], names, strict=True))
    rename_users = dict(zip([f"u{i}" for i in range(len(names))], names, strict=True))
    table = {
        "user": [rename_users.get(user, user) for user in pairs()["user"]],
        "item": [rename.get(item, item) for item in pairs()["item"]],
    }
    ids = [rename.get(f"i{i}", f"i{i}") for i in range(NUM_ITEMS)]
    titles = [HOSTILE[i % len(HOSTILE)] for i in range(NUM_ITEMS)]
    safe = [text.encode("utf-8", "replace").decode() for text in titles]
    quick = {"num_steps": 3, "progress": False, "dim": 8, "batch_size": 32, "ks": (5,), "valid_fraction": 0.2}
    encoded = {key: [text.encode("utf-8", "replace").decode() for text in values] for key, values in table.items()}
    codes = [text.encode("utf-8", "replace").decode() for text in ids]
    model = cml_jax.fit(
        encoded,
        item_titles={"item": codes, "title": safe},
        item_features=pl.DataFrame({"item": codes, HOSTILE[3]: safe}),
        item_feature_columns=(f"{HOSTILE[3]}:categorical",),
        **quick,
    )
    made = content.make(model, HOSTILE[1], Wanted(num_users=NUM_USERS, num_pair_users=4, k=5, neighbours=6))
    made["items"]["title"] = [HOSTILE[safe.index(text)] if text in safe else text for text in made["items"]["title"]]
    page.write(made, tmp_path / "hostile.html")
    with opened_page(browser, tmp_path / "hostile.html", DESKTOP) as opened:
        tags = "document.querySelectorAll('img, iframe, a, b, br, extra, script').length"
        before = opened.evaluate(tags)
        assert opened.text_content("#name") == HOSTILE[1]
        ids, seen = made["items"]["id"], set()
        for place, title in enumerate(made["items"]["title"]):
            if ids[place] not in codes[: len(names)]:
                continue
            seen.add(title)
            opened.evaluate("() => document.getElementById('item').replaceChildren()")
            opened.fill("#search", ids[place].split("\n")[0][:100])  # a field has one line
            opened.locator(f"#search-list [data-hit='{place}']").click()
            shown = opened.locator("#item > .name bdi").text_content()
            assert shown == (title or ids[place])
            x, y = place_on_screen(opened, place)
            opened.mouse.move(x, y)
        assert seen == {*HOSTILE}
        for tab in ("users", "negatives"):
            opened.click(f"#tab-{tab}")
        opened.select_option("#colour", "feature-0")
        opened.wait_for_timeout(300)
        assert opened.evaluate(tags) == before
        assert opened.evaluate("window.ran") is None
        assert opened.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]
