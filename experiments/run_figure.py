"""The figure that a run leaves in its workdir."""

from cml_jax.runs.run import Run
from cml_jax.runs.summary import Summary


def draw_curves(run: Run, summary: Summary) -> None:
    """Draws curves.png and curves.pdf; for `open_run`."""
    from experiments.reports.curves import run_title, save_curves  # slow to import, and not needed by those who fail

    assert run.workdir is not None
    path, title = run.workdir.folder / "curves.png", run_title(run.setup.config)
    save_curves(run.records, summary, run.setup.protocol.metric, path, title)
