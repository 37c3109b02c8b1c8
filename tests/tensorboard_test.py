"""Tests that TensorBoard starts and serves a folder of runs."""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.request

import tensorflow as tf
from absl.testing import absltest


class TensorBoardTest(absltest.TestCase):
  def test_serves_the_runs(self):
    folder = pathlib.Path(self.create_tempdir().full_path)
    with tf.summary.create_file_writer(f'{folder}/runs/a/train').as_default(0):
      tf.summary.scalar('loss', 1.0)
    with _started(folder, '--logdir=runs', '--port=0') as process:
      # TensorBoard was once seen to hang while it started.
      watchdog = threading.Timer(120, process.kill)
      watchdog.start()
      try:
        lines = iter(process.stderr.readline, '')
        url = next(
          found[1]
          for line in lines
          if (
            found := re.match(
              r'TensorBoard .* at (http://localhost:\d+/)', line
            )
          )
        )
        with urllib.request.urlopen(f'{url}data/runs') as answer:
          self.assertEqual(json.load(answer), ['a/train'])
      finally:
        watchdog.cancel()
        process.kill()

  def test_asks_for_a_folder(self):
    with _started(self.create_tempdir().full_path) as process:
      _, written = process.communicate()
    self.assertEqual(process.returncode, 2)
    self.assertEqual(
      written,
      "--logdir is missing. Expected: A run's directory, or a folder of runs. "
      '--help lists the flags.\n',
    )

  def test_refuses_a_folder_that_is_not_there(self):
    folder = self.create_tempdir().full_path
    with _started(folder, '--logdir=runs') as process:
      _, written = process.communicate()
    self.assertEqual(process.returncode, 2)
    self.assertStartsWith(written, 'No such file: runs. Looked in: ')


def _started(folder, *arguments):
  return subprocess.Popen(
    [sys.executable, '-m', 'tinygin.show_tensorboard', *arguments],
    cwd=folder,
    env={
      **os.environ,
      'BUILD_WORKING_DIRECTORY': '',
      'PYTHONPATH': os.pathsep.join(sys.path),
    },
    stderr=subprocess.PIPE,
    text=True,
  )


if __name__ == '__main__':
  absltest.main()
