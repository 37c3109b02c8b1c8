"""Evaluations count each example once, and write their files."""

import datetime
import io
import json
import pathlib
import shutil
import sys
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from PIL import Image

from tests import bfloat16
from tests.training import small_experiment
from tinygin.config import errors
from tinygin.data import source
from tinygin.training import checkpoints
from tinygin.training import evaluation
from tinygin.training import learner
from tinygin.training import run_directory
from tinygin.training import strategies
from tinygin.training import trainer


def setUpModule():
  global ONE, TWO
  TWO = strategies.mirrored(logical_cpus=2)
  ONE = tf.distribute.MirroredStrategy(['/cpu:0'])


def _softmax(logits):
  odds = np.exp(logits - logits.max(axis=1, keepdims=True))
  return odds / odds.sum(axis=1, keepdims=True)


class OutcomeTest(parameterized.TestCase):
  @parameterized.product(replicas=[1, 2], batch_size=[7, 64], flips=[0, 1])
  def test_agrees_with_one_example_after_the_other(
    self, replicas, batch_size, flips
  ):
    experiment = small_experiment.make(
      ONE if replicas == 1 else TWO, evaluation_batch_size=batch_size
    )
    model = experiment.build_model()
    split = small_experiment.split('validation', 37, 5)
    outcome = evaluation.Evaluation(experiment, model, split, bool(flips))()
    images = experiment.preprocessing(tf.cast(split.images, tf.float32))
    probabilities = _softmax(model(images, training=False).numpy())
    if flips:
      mirrored = model(images[:, :, ::-1], training=False).numpy()
      probabilities = (probabilities + _softmax(mirrored)) / 2
    labels = split.labels.numpy()
    of_label = probabilities[np.arange(37), labels]
    ranks = (probabilities >= of_label[:, None]).sum(axis=1)
    np.testing.assert_allclose(outcome.losses, -np.log(of_label), rtol=1e-4)
    np.testing.assert_array_equal(outcome.ranks, ranks)
    np.testing.assert_array_equal(outcome.predictions, probabilities.argmax(1))
    np.testing.assert_allclose(
      outcome.probabilities, probabilities.max(1), rtol=1e-4
    )
    means = outcome.metrics()
    self.assertEqual(means.count, 37)
    self.assertAlmostEqual(means.top1, np.mean(ranks == 1))
    self.assertAlmostEqual(means.top5, np.mean(ranks <= 5))

  def test_progress_on_a_terminal_is_erased(self):
    class Terminal(io.StringIO):
      def isatty(self):
        return True

    experiment = small_experiment.make(ONE, evaluation_batch_size=16)
    split = small_experiment.split('validation', 37, 5)
    for stream in (Terminal(), io.StringIO()):
      with mock.patch.object(sys, 'stderr', stream):
        evaluation.Evaluation(experiment, experiment.build_model(), split)()
      written = stream.getvalue()
      if stream.isatty():
        self.assertRegex(written, r'^\revaluating:   0%\| +\| 0/37 ')
        self.assertEndsWith(written, '\r')
        self.assertNotIn('\n', written)
      else:
        self.assertEmpty(written)

  @bfloat16.needed
  def test_ties_go_to_the_first_class_everywhere(self):
    experiment = small_experiment.make(ONE, precision='bfloat16')
    split = small_experiment.split('validation', 200, 5)
    model = experiment.build_model()
    # Logits of few distinct values.
    *_, head = model.weights
    head.assign([0.5, 0.5, 0.25, 0.5, 0.25, 0.0])
    for weight in model.layers[-1].weights[:1]:
      weight.assign(tf.round(weight * 2) / 128)
    outcome = evaluation.Evaluation(experiment, model, split)()
    hits = outcome.predictions == outcome.labels
    np.testing.assert_array_equal(outcome.ranks == 1, hits)
    counts = outcome.confusion()
    self.assertEqual(outcome.metrics().top1, np.trace(counts) / counts.sum())
    images = experiment.preprocessing(tf.cast(split.images, tf.float32))
    logits = model(images, training=False).numpy().astype(np.float32)
    tied = np.sum(logits == logits.max(axis=1, keepdims=True), axis=1) > 1
    self.assertGreater(np.sum(tied & hits), 0)  # The test means something.

  def test_counts_confusions_and_orders_mistakes(self):
    outcome = evaluation.Outcome(
      classes=3,
      labels=np.array([0, 0, 1, 2, 2]),
      losses=np.zeros(5, np.float32),
      ranks=np.array([1, 2, 2, 3, 1]),
      predictions=np.array([0, 1, 2, 1, 2]),
      probabilities=np.array([0.9, 0.6, 0.8, 0.7, 0.5], np.float32),
    )
    counts = outcome.confusion()
    self.assertEqual(counts.dtype, np.int64)
    self.assertEqual(counts.tolist(), [[1, 1, 0], [0, 0, 1], [0, 1, 1]])
    self.assertEqual(outcome.mistakes(9).tolist(), [2, 3, 1])
    self.assertEqual(outcome.mistakes(1).tolist(), [2])


class RunEvaluationTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.trained = pathlib.Path(absltest.get_default_test_tmpdir()) / 'trained'
    shutil.rmtree(cls.trained, ignore_errors=True)
    cls.trained.mkdir(parents=True)
    cls.experiment = small_experiment.make(
      ONE, average_decay=0.5, keep_checkpoints=3
    )
    with small_experiment.patched():
      cls.result = trainer.train(
        cls.experiment, cls.trained, may_build=False, describe=lambda step: None
      )

  def setUp(self):
    super().setUp()
    self.enter_context(small_experiment.patched())
    self.directory = pathlib.Path(self.create_tempdir().full_path) / 'run'
    shutil.copytree(self.trained, self.directory)

  def _evaluation(self, split='validation', weights='average', flips=False):
    return evaluation.RunEvaluation(
      self.experiment,
      self.directory,
      split,
      weights=weights,
      average_flips=flips,
    )

  def test_agrees_with_the_trainer(self):
    summary = self._evaluation().evaluate('latest')
    file = self.directory / 'evaluations' / 'validation-00000023.json'
    self.assertEqual(
      summary,
      {
        'split': 'validation',
        'step': 23,
        'weights': 'average',
        'average_flips': False,
        'file': str(file),
        **self.result['validation'],
      },
    )
    written = json.loads(file.read_text())
    self.assertEqual({name: written[name] for name in summary}, summary)

  def test_classes_and_confusion_add_up(self):
    evaluated = self._evaluation('train')
    summary = evaluated.evaluate('best')
    self.assertEqual(summary['step'], self.result['best']['step'])
    self.assertEqual(summary['count'], 90)
    written = json.loads(pathlib.Path(summary['file']).read_text())
    names = [each['name'] for each in written['classes']]
    self.assertEqual(names, [f'class {number}' for number in range(6)])
    counts = np.array(written['confusion'])
    self.assertAlmostEqual(np.trace(counts) / counts.sum(), summary['top1'])
    for each, row, hits in zip(
      written['classes'], counts, np.diag(counts), strict=True
    ):
      self.assertEqual(each['count'], row.sum())
      self.assertAlmostEqual(each['top1'], hits / row.sum())
    stem = pathlib.Path(summary['file']).with_suffix('')
    with Image.open(f'{stem}-confusion.png') as picture:
      self.assertGreater(min(picture.size), 300)

  def test_a_picture_that_cannot_be_drawn_is_left_out(self):
    with (
      mock.patch.object(
        evaluation.confusion, 'draw', side_effect=ValueError('no font')
      ),
      self.assertLogs(level='WARNING'),
    ):
      summary = self._evaluation().evaluate('latest')
    self.assertTrue(pathlib.Path(summary['file']).exists())

  def test_raw_weights_are_an_evaluation_of_their_own(self):
    raw = self._evaluation(weights='raw').evaluate('23')
    self.assertEqual(
      pathlib.Path(raw['file']).name, 'validation-00000023-raw.json'
    )
    self.assertNotEqual(raw['loss'], self.result['validation']['loss'])
    folder = self.directory / 'checkpoints'
    model = self.experiment.build_model()
    for weight in model.weights:
      weight.assign(checkpoints.read(folder, 23, 'model')[weight.path])
    split = small_experiment.read('', 'validation', 0)
    outcome = evaluation.Evaluation(self.experiment, model, split)()
    self.assertEqual(raw['loss'], outcome.metrics().loss)

  def test_flips_are_an_evaluation_of_their_own(self):
    plain = self._evaluation().evaluate('23')
    flips = self._evaluation(flips=True).evaluate('23')
    self.assertNotEqual(flips['loss'], plain['loss'])
    self.assertEqual(
      sorted(
        path.name for path in (self.directory / 'evaluations').glob('*.json')
      ),
      ['validation-00000023-flips.json', 'validation-00000023.json'],
    )

  def test_a_class_without_examples_has_no_accuracy(self):
    split = small_experiment.split('validation', 2, 1)
    with mock.patch.object(source, 'read', lambda *_: split):
      summary = self._evaluation().evaluate('latest')
    written = json.loads(pathlib.Path(summary['file']).read_text())
    found = [each['top1'] for each in written['classes']]
    self.assertEqual(found.count(None), 4)

  def test_says_which_checkpoints_there_are(self):
    with self.assertRaises(errors.InputError) as caught:
      self._evaluation().evaluate('11')
    self.assertEqual(
      str(caught.exception),
      f'The checkpoint of {self.directory}/checkpoints must be best, latest or '
      'one of the steps [10, 20, 23]. Received: 11.',
    )

  def test_a_damaged_checkpoint_is_named(self):
    folder = self.directory / 'checkpoints/step-00000020'
    (folder / 'arrays.safetensors').write_text('torn')
    with self.assertRaises(errors.InputError) as caught:
      self._evaluation().evaluate('20')
    self.assertStartsWith(
      str(caught.exception), f'The checkpoint {folder} is damaged'
    )
    self.assertIn('[10, 20, 23]', str(caught.exception))

  def test_read_only_folders(self):
    def refuse(path, content):
      del content
      raise errors.RunError(f'Cannot write {path}: Read-only file system.')

    expected = self._evaluation().evaluate('20')
    self.assertEndsWith(expected.pop('file'), '.json')
    shutil.rmtree(self.directory / 'evaluations')
    with (
      mock.patch.object(run_directory, 'write', refuse),
      self.assertLogs(level='WARNING') as logged,
    ):
      found = self._evaluation().evaluate('20')
      self.assertIsNone(found.pop('file'))
      self.assertEqual(found, expected)
      steps = [each['step'] for each in self._evaluation().follow()]
    self.assertEqual(steps, [10, 20, 23])
    self.assertIn('Read-only file system', ' '.join(logged.output))

  def test_follows_a_run_to_its_end(self):
    result = self.directory / 'result.json'
    result.unlink()
    last = self.directory / 'checkpoints' / 'step-00000023'
    hidden = last.rename(self.directory / 'later')
    slept = []

    def trains_on(seconds):
      """Does what the training process does meanwhile."""
      slept.append(seconds)
      if len(slept) == 2:
        hidden.rename(last)
        result.write_text('{}')

    followed = self._evaluation()
    now = datetime.datetime.now()
    (self.directory / 'config.gin').touch()
    with (
      run_directory.locked(str(self.directory), now),
      mock.patch.object(evaluation.time, 'sleep', trains_on),
    ):
      steps = [each['step'] for each in followed.follow()]
      self.assertEqual(steps, [10, 20, 23])
      self.assertLen(slept, 2)
      # Evaluated checkpoints are not evaluated again.
      self.assertEmpty(list(followed.follow()))

  def test_a_trainer_that_just_ended_is_not_dead(self):
    result = self.directory / 'result.json'
    result.unlink()
    looks = []

    def ends(directory):
      looks.append(directory)
      if len(looks) == 1:
        return True
      result.write_text('{}')
      return False

    with mock.patch.object(run_directory, 'is_locked', ends):
      steps = [each['step'] for each in self._evaluation().follow()]
    self.assertEqual(steps, [10, 20, 23])

  def test_does_not_wait_for_a_dead_trainer(self):
    (self.directory / 'result.json').unlink()
    with self.assertRaisesRegex(
      errors.RunError,
      rf'^No process is training {self.directory}, .*--resume=',
    ):
      list(self._evaluation().follow())
    evaluated = (self.directory / 'evaluations').glob('*.json')
    self.assertLen(list(evaluated), 3)

  def test_a_longer_run_has_not_ended(self):
    longer = small_experiment.make(ONE, average_decay=0.5, epochs=3)
    ended = []
    train = learner.Learner.train

    def trained(*arguments):
      ended.append((self.directory / 'result.json').exists())
      return train(*arguments)

    with mock.patch.object(learner.Learner, 'train', trained):
      trainer.train(
        longer, self.directory, may_build=False, describe=lambda step: None
      )
    self.assertNotEmpty(ended)
    self.assertFalse(any(ended))

  def test_removed_checkpoints_are_left_out(self):
    find = checkpoints.find

    def pruned(directory, name):
      """The trainer removes two checkpoints just as the first is found."""
      step = find(directory, name)
      for old in (10, 20):
        folder = self.directory / f'checkpoints/step-{old:08d}'
        shutil.rmtree(folder, ignore_errors=True)
      return step

    with mock.patch.object(checkpoints, 'find', pruned):
      steps = [each['step'] for each in self._evaluation().follow()]
    self.assertEqual(steps, [23])


if __name__ == '__main__':
  absltest.main()
