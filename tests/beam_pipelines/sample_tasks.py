"""Tasks that workers of other processes can import."""

import dataclasses
import os
import pathlib
import time


@dataclasses.dataclass(frozen=True)
class MeetAnother:
  """Returns, with its own process, when two processes do such tasks."""

  path: str
  meeting_place: str
  size: int = 1

  def run(self) -> int:
    place = pathlib.Path(self.meeting_place)
    (place / str(os.getpid())).touch()
    while len(list(place.iterdir())) < 2:
      time.sleep(0.01)
    return os.getpid()
