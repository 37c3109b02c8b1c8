"""Work and a runner that other processes can import."""

import dataclasses
import os
import pathlib
import time

from apache_beam.runners import runner


@dataclasses.dataclass(frozen=True)
class MeetAnother:
  """Returns the id of its process once two processes do such work."""

  meeting_place: str

  def __call__(self, path: str, images: list) -> int:
    del path, images
    place = pathlib.Path(self.meeting_place)
    (place / str(os.getpid())).touch()
    while len(list(place.iterdir())) < 2:
      time.sleep(0.01)
    return os.getpid()


class InterruptedRunner(runner.PipelineRunner):
  """Runs nothing; the user presses Ctrl-C while waiting for it."""

  cancel_error: Exception | None = None
  cancelled = 0

  def run_pipeline(self, pipeline, options):
    return _Result(runner.PipelineState.RUNNING)


class _Result(runner.PipelineResult):
  def job_id(self) -> str:
    return 'job_7'

  def wait_until_finish(self, duration=None):
    raise KeyboardInterrupt

  def cancel(self):
    InterruptedRunner.cancelled += 1
    if InterruptedRunner.cancel_error:
      raise InterruptedRunner.cancel_error
