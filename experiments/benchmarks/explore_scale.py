"""Size of the page of experiments.explore, and time of making and opening it, by the number of items.

python -m experiments.benchmarks.explore_scale [--items=5000,50000,1000000] [--browser=chromium-headless-shell]

Points are those of a model after one step on generated pairs, 64 dimensions. Opening is from the start of loading until
the map is drawn; frames are counted while the map is dragged. A headless browser draws on the CPU.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

import cml_jax
from cml_jax.errors import UserError
from experiments import cli
from experiments.space import content, page

FLAGS = flags.FlagValues()
_ITEMS = flags.DEFINE_list("items", ["5000", "50000", "1000000"], "Numbers of items.", flag_values=FLAGS)
_BROWSER = flags.DEFINE_string("browser", "chromium-headless-shell", "Name of a Chromium.", flag_values=FLAGS)
_FRAMES = """async () => {
    const drag = document.querySelector("#map .nsewdrag");
    const box = drag.getBoundingClientRect();
    const send = (type, by) => {
        const place = { clientX: box.left + 200 + by, clientY: box.top + 200, buttons: 1 };
        const event = new MouseEvent(type, { bubbles: true, cancelable: true, view: window, ...place });
        (document.querySelector(".dragcover") || drag).dispatchEvent(event);
    };
    let moves = 0;
    document.getElementById("map").on("plotly_relayouting", () => moves++);
    send("mousedown", 0);
    const start = performance.now();
    for (let i = 1; i <= 20; i++) {
        send("mousemove", 3 * i);
        await new Promise(requestAnimationFrame);
    }
    const rate = (1000 * moves) / (performance.now() - start);
    send("mouseup", 60);
    return rate;
}"""


def model_of(num_items: int) -> cml_jax.Recommender:
    """A model of as many items, after one step on generated pairs."""
    rng = np.random.default_rng(0)
    num_users = max(200, num_items // 50)
    users = np.repeat(np.arange(num_users), 60)
    # Every item once, then popular ones more often.
    more = (num_items * rng.random(len(users) - num_items) ** 3).astype(int)
    items = np.concatenate([rng.permutation(num_items), more])
    pairs = {"user": rng.permutation(users), "item": items}
    options = {"dim": 64, "num_steps": 1, "valid_fraction": 0, "progress": False}
    return cml_jax.fit(pairs, loss="triplet", sampler="two_stage", num_candidates=2000, **options)


def main() -> None:
    """Runs with the flags' values."""
    browser = shutil.which(_BROWSER.value)
    if browser is None:
        raise UserError(f"there is no {_BROWSER.value}; name another one with --browser.")
    print(
        "| items | shown | seconds to make | CPU seconds | MB | seconds to open | frames a second |\n"
        "|---|---|---|---|---|---|---|"
    )
    for num_items in map(int, _ITEMS.value):
        model = model_of(num_items)
        with tempfile.TemporaryDirectory() as folder:
            path, start, cpu = Path(folder) / "space.html", time.perf_counter(), time.process_time()
            made = content.make(model, "generated", content.Wanted())
            page.write(made, path)
            seconds, size = time.perf_counter() - start, path.stat().st_size / 1e6
            cpu = time.process_time() - cpu
            opening, frames = opened(path, browser)
        shown = len(made["items"]["id"])
        print(
            f"| {num_items:,} | {shown:,} | {seconds:.0f} | {cpu:.0f} | {size:.1f} | {opening:.1f} | {frames:.0f} |",
            flush=True,
        )


def opened(path: Path, executable: str) -> tuple[float, float]:
    """Seconds until the page is there, and frames a second while its map moves."""
    from playwright.sync_api import sync_playwright  # of the extra test

    arguments = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        opened_page = browser.new_page(viewport={"width": 1280, "height": 860})
        opened_page.set_default_timeout(600_000)
        start = time.perf_counter()
        opened_page.goto(path.as_uri())
        opened_page.wait_for_selector("body[data-ready]", state="attached")
        seconds = time.perf_counter() - start
        frames = opened_page.evaluate(_FRAMES)
        browser.close()
    return seconds, frames


if __name__ == "__main__":
    cli.run(main, FLAGS)
