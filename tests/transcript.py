"""From a DataFrame to lists, a score and a folder in eight lines; `python tests/transcript.py` checks what they print.

Odd users like odd items. The DataFrame is one of Polars, which every installation has; pandas is no dependency.

>>> import polars as pl, cml_jax
>>> df = pl.DataFrame([(u, i) for u in range(60) for i in range(u % 2, 40, 2)], ["user", "item"], orient="row")
>>> test = df.sample(fraction=0.3, seed=0)
>>> model = cml_jax.fit(df.join(test, on=["user", "item"], how="anti"), user="user", item="item", progress=False)
>>> (model.recommend(3, k=4)["item"] % 2).to_list()
[1, 1, 1, 1]
>>> (model.similar_items(8, k=4)["item"] % 2).to_list()
[0, 0, 0, 0]
>>> model.evaluate(test)["recall@20"] > 0.9
True
>>> model.save("model"), cml_jax.load("model").recommend(3).equals(model.recommend(3))
(None, True)
"""

import contextlib
import doctest
import sys
import tempfile

NUM_LINES = 8

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        failed, attempted = doctest.testmod(verbose=True)
    sys.exit(failed > 0 or attempted != NUM_LINES)
