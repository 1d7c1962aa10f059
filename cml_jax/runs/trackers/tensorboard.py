"""TensorBoard: event files in the workdir, with the hyperparameters and final scores that its HPARAMS tab compares."""

import shutil
import time
from collections.abc import Mapping
from typing import Any

from cml_jax.runs.trackers.base import About, End, Tracker

FOLDER = "tensorboard"


def open_tracker(about: About) -> Tracker:
    """Event files of a run; those that are there are replaced, since a resumed run makes some reports again."""
    return _EventFiles(about)


class _EventFiles:
    id = None  # every opening writes all reports
    address = None  # in the workdir

    def __init__(self, about: About) -> None:
        """Writes the hyperparameters."""
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        assert about.folder is not None
        shutil.rmtree(about.folder / FOLDER, ignore_errors=True)
        self._writer = EventFileWriter(str(about.folder / FOLDER))
        hyperparameters = {key: _plain(value) for key, value in about.config.items() if value is not None}
        # A trial of its own, or runs of equal hyperparameters would be averaged.
        self._write(summary_v2.hparams_pb(hyperparameters, trial_id=about.name))

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars."""
        from tensorboard.plugins.scalar import summary_v2

        for name, value in values.items():
            self._write(summary_v2.scalar_pb(name, value), step)
        self._writer.flush()

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars, of names of their own."""
        self.report(step, values)

    def close(self, end: End) -> None:
        """Writes how it ended, unless it may go on."""
        if end != "stopped":
            self._write(_session_end(succeeded=end == "finished"))
        self._writer.close()

    def _write(self, summary: Any, step: int | None = None) -> None:
        from tensorboard.compat.proto import event_pb2

        proto: Any = event_pb2  # generated, so that no type is known
        self._writer.add_event(proto.Event(wall_time=time.time(), step=step, summary=summary))


def _plain(value: Any) -> bool | float | str:
    """A value of a type that hyperparameters have there."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _session_end(succeeded: bool) -> Any:
    """How a run ended, for the HPARAMS tab; the function that tensorboard has for it needs TensorFlow."""
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    proto: Any = summary_pb2  # generated, so that no types are known
    api: Any = api_pb2
    plugin: Any = plugin_data_pb2
    status = api.Status.Value("STATUS_SUCCESS" if succeeded else "STATUS_FAILURE")
    ended = plugin.SessionEndInfo(status=status, end_time_secs=time.time())
    content = metadata.create_summary_metadata(plugin.HParamsPluginData(session_end_info=ended))
    value = proto.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=content, tensor=metadata.NULL_TENSOR)
    return proto.Summary(value=[value])
