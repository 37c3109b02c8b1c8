"""The training loop: it learns, resumes exactly, and reports what it did."""

import dataclasses
import gc
import io
import json
import pathlib
import signal
import sys
from unittest import mock

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from absl.testing import absltest
from absl.testing import parameterized
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from tests import bfloat16
from tests.training import small_experiment
from tinygin.config import errors
from tinygin.data import source
from tinygin.reporting import logs
from tinygin.training import checkpoints
from tinygin.training import evaluation
from tinygin.training import learner as learners
from tinygin.training import overview
from tinygin.training import plateaus
from tinygin.training import profiling
from tinygin.training import schedules
from tinygin.training import strategies
from tinygin.training import trainer


def setUpModule():
  global ONE, TWO
  TWO = strategies.mirrored(logical_cpus=2)
  ONE = tf.distribute.MirroredStrategy(['/cpu:0'])


def _lines(directory):
  text = (directory / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def _without_times(lines):
  return [
    {k: v for k, v in line.items() if k not in logs.TIMES} for line in lines
  ]


def _variables(directory):
  """Returns the newest checkpoint's variables by name."""
  step = checkpoints.steps(directory / 'checkpoints')[-1]
  return safetensors.numpy.load_file(
    directory / f'checkpoints/step-{step:08d}/arrays.safetensors'
  )


def _live_variables():
  """Returns the names of all variables of the process, by their identity."""
  gc.collect()
  return {
    id(each): each.name.split(':')[0].removesuffix('/replica_1')
    for each in gc.get_objects()
    if isinstance(each, tf.Variable)
  }


def _sgd(learning_rate):
  return keras.optimizers.SGD(learning_rate)


class TrainerTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(small_experiment.patched())
    self.steps = []

  def _directory(self):
    return pathlib.Path(self.create_tempdir().full_path)

  def _train(self, strategy, directory, **changes):
    experiment = small_experiment.make(strategy, **changes)
    return trainer.train(
      experiment, directory, may_build=False, describe=self.steps.append
    )

  def _interrupted(self, directory, after_loops, number, **changes):
    """Trains, and sends itself a signal after some calls of the loop."""
    loops = 0
    train = learners.Learner.train

    def trained(learner, iterator, steps):
      nonlocal loops
      loops += 1
      if loops == after_loops:
        signal.raise_signal(number)
      return train(learner, iterator, steps)

    with mock.patch.object(learners.Learner, 'train', trained):
      with self.assertRaises(errors.StoppedError) as caught:
        self._train(ONE, directory, **changes)
    return caught.exception

  def test_two_logical_devices_learn_and_report(self):
    directory = self._directory()
    result = self._train(TWO, directory, epochs=10)
    self.assertEqual(result['status'], 'completed')
    self.assertEqual(result['step'], 113)  # ceil(10 · 90 / 8)
    self.assertEqual(result['validation']['count'], 37)
    self.assertGreater(result['validation']['top1'], 0.6)
    self.assertGreaterEqual(
      result['best']['top1'], result['validation']['top1']
    )
    self.assertEqual(
      json.loads((directory / 'result.json').read_text()), result
    )

  def test_a_run_may_be_as_long_as_a_duration(self):
    directory = self._directory()
    result = self._train(ONE, directory, epochs='7 steps')
    self.assertEqual(result['step'], 7)
    self.assertEqual([line['step'] for line in _lines(directory)], [5, 7, 7])

  def test_the_same_seed_gives_the_same_bits(self):
    first, second, other = (self._directory() for _ in range(3))
    self._train(ONE, first)
    self._train(ONE, second)
    self._train(ONE, other, seed=4)
    variables = [_variables(each) for each in (first, second, other)]
    for name, value in variables[0].items():
      np.testing.assert_array_equal(value, variables[1][name], name)
    kernels = [v for n, v in variables[0].items() if n.endswith('kernel')]
    others = [v for n, v in variables[2].items() if n.endswith('kernel')]
    for ours, theirs in zip(kernels, others, strict=True):
      self.assertFalse(np.array_equal(ours, theirs))

  def test_steps_and_evaluations_are_traced_once(self):
    # Loops of 4 steps, and of fewer before a line and at the end.
    with (
      mock.patch.object(
        learners.Learner,
        '_gradients',
        autospec=True,
        side_effect=learners.Learner._gradients,
      ) as steps,
      mock.patch.object(
        evaluation.Evaluation,
        '_outcomes',
        autospec=True,
        side_effect=evaluation.Evaluation._outcomes,
      ) as evaluations,
    ):
      self._train(ONE, self._directory(), average_decay=0.9)
    steps.assert_called_once()
    evaluations.assert_called_once()

  @parameterized.parameters(1, 2)
  def test_a_checkpoint_covers_every_variable(self, replicas):
    directory = self._directory()
    kept_learners = []
    variables = learners.Learner.variables

    def kept(each):
      kept_learners.append(each)
      return variables(each)

    before = _live_variables()
    with mock.patch.object(learners.Learner, 'variables', kept):
      self._train(
        ONE if replicas == 1 else TWO,
        directory,
        average_decay=0.9,
        accumulation=2,
        optimizer=keras.optimizers.AdamW,
      )
    groups = kept_learners[0].variables()
    covered = {
      id(part)
      for members in groups.values()
      for variable in members.values()
      for part in (variable, *getattr(variable, 'values', ()))
    }
    created = _live_variables().items() - before.items()
    uncovered = {name for key, name in created if key not in covered}
    # Derived from the state of the plateau.
    self.assertEqual(uncovered, {'rate_scale'})
    for group, members in groups.items():
      self.assertNotEmpty(members)
      folder = directory / 'checkpoints'
      saved = checkpoints.read(folder, checkpoints.steps(folder)[-1], group)
      for path, variable in members.items():
        np.testing.assert_array_equal(saved.pop(path), variable.numpy(), path)
      self.assertEmpty(saved)

  def test_a_stopped_run_ends_like_an_uninterrupted_one(self):
    whole, stopped = self._directory(), self._directory()
    stateful = {
      'average_decay': 0.9,
      'accumulation': 2,
      'reduce_on_plateau': plateaus.ReduceOnPlateau(
        monitor='train_loss',
        factor=0.5,
        patience=1,
        minimum_change=9.0,
        cooldown=0,
        minimum_rate=0.0,
      ),
    }
    self._train(ONE, whole, **stateful)
    exits = [
      self._interrupted(stopped, after_loops, number, **stateful).exit_status
      for after_loops, number in (
        (1, signal.SIGTERM),
        (4, signal.SIGINT),
        (2, signal.SIGHUP),
      )
    ]
    self.assertEqual(exits, [143, 130, 129])
    self._train(ONE, stopped, **stateful)
    self.assertEqual(self.steps, [0, 0, 4, 14, 19])
    rates = {line.get('learning_rate') for line in _lines(whole)} - {None}
    self.assertGreater(len(rates), 1)
    self.assertTrue(
      any(name.startswith('average') for name in _variables(whole))
    )
    for name, value in _variables(whole).items():
      np.testing.assert_array_equal(value, _variables(stopped)[name], name)
    self.assertEqual(
      _without_times(_lines(whole)), _without_times(_lines(stopped))
    )

  @parameterized.parameters(1, 2)
  def test_a_signal_during_an_evaluation_ends_the_run_between_batches(
    self, batches
  ):
    whole, stopped = self._directory(), self._directory()
    changes = {'average_decay': 0.9, 'keep_checkpoints': 9}
    self._train(ONE, whole, **changes)
    evaluated = 0
    evaluate = evaluation.Evaluation.__call__

    def called(evaluation_, between_batches):
      def counted():
        nonlocal evaluated
        evaluated += 1
        if evaluated == batches:
          signal.raise_signal(signal.SIGTERM)
        between_batches()

      return evaluate(evaluation_, counted)

    with (
      mock.patch.object(evaluation.Evaluation, '__call__', called),
      self.assertRaises(errors.StoppedError) as caught,
    ):
      self._train(ONE, stopped, **changes)
    self.assertEqual(caught.exception.exit_status, 143)
    self.assertEqual(evaluated, batches)  # Of 3.
    # The trained steps are saved, but not evaluated yet.
    folder = stopped / 'checkpoints'
    self.assertEqual(checkpoints.steps(folder), [10])
    self.assertEqual([line['step'] for line in _lines(stopped)], [5, 10])
    self._train(ONE, stopped, **changes)
    self.assertEqual(
      _without_times(_lines(whole)), _without_times(_lines(stopped))
    )
    for name, value in _variables(whole).items():
      np.testing.assert_array_equal(value, _variables(stopped)[name], name)

  def test_checkpoints_between_evaluations(self):
    directory = self._directory()
    self._train(ONE, directory, save_every='8 steps', keep_checkpoints=9)
    saved = checkpoints.steps(directory / 'checkpoints')
    self.assertEqual(saved, [8, 10, 16, 20, 23])
    steps = [
      line['step']
      for line in _lines(directory)
      if line['split'] == 'validation'
    ]
    self.assertEqual(steps, [10, 20, 23])

  def test_failing_charts_and_pictures_do_not_end_a_run(self):
    directory = self._directory()
    broken = mock.Mock(side_effect=ValueError('no such picture'))
    with (
      mock.patch.object(overview.confusion, 'draw', broken),
      mock.patch.object(overview.pictures, 'grid', broken),
      mock.patch.object(overview, '_graph', broken),
      mock.patch.object(logs.tf.summary, 'scalar', broken),
      mock.patch.object(logs.histogram_summary, 'histogram_pb', broken),
      self.assertLogs(level='WARNING') as warned,
    ):
      result = self._train(ONE, directory)
    self.assertEqual(result['step'], 23)
    self.assertLen(_lines(directory), 8)
    for name in (
      'the picture of augmented inputs',
      "the network's graph in TensorBoard",
      'TensorBoard files',
      'the picture of the confusion matrix',
      'the picture of mistakes',
    ):
      self.assertTrue(
        any(
          f'Skipped {name}: ValueError: no such picture' in line
          for line in warned.output
        ),
        name,
      )

  @parameterized.parameters('train', 'validation')
  def test_unlabeled_examples_are_refused(self, unlabeled):
    def read(directory, name, memory_limit_mib):
      found = small_experiment.read(directory, name, memory_limit_mib)
      if name != unlabeled:
        return found
      labels = np.where(np.arange(found.size) < 5, -1, found.labels)
      return dataclasses.replace(found, labels=tf.constant(labels, tf.int64))

    directory = self._directory()
    with (
      mock.patch.object(source, 'read', read),
      self.assertRaisesRegex(
        errors.InputError,
        rf"needs labels\. Received: split '{unlabeled}', in which 5 of \d+ "
        'examples have none',
      ),
    ):
      self._train(ONE, directory)
    self.assertEmpty(list(directory.iterdir()))

  def test_logs_after_the_checkpoint_are_removed(self):
    whole = self._directory()
    self._train(ONE, whole)

    class Killed(BaseException):
      pass

    for saves in (0, 1):
      killed = self._directory()
      done = [checkpoints.Checkpoints.save] * saves

      def save(*arguments, done=done, **keywords):
        if not done:
          raise Killed
        done.pop()(*arguments, **keywords)

      with mock.patch.object(checkpoints.Checkpoints, 'save', save):
        with self.assertRaises(Killed):
          self._train(ONE, killed)
      self._train(ONE, killed)
      self.assertEqual(
        _without_times(_lines(whole)), _without_times(_lines(killed))
      )
      self.assertEqual(
        small_experiment.events(whole), small_experiment.events(killed)
      )

  def test_what_tensorboard_shows(self):
    directory = self._directory()
    (directory / 'config.gin').write_text('train.seed = 3\n')
    parameters = [
      {
        'component': component,
        'parameter': name,
        'numeric': isinstance(value, int),
        'value': value,
        'text': str(value),
        'source': source,
      }
      for component, name, value, source in (
        ('train', 'seed', 3, 'x'),
        ('train', 'levels', [1, 2], 'x'),
        ('a', 'b', 1, 'default'),
        ('train', 'run_dir', '', ''),
      )
    ]
    (directory / 'provenance.json').write_text(
      json.dumps({'starts': [{'parameters': parameters}]})
    )
    self._train(ONE, directory)
    events = event_accumulator.EventAccumulator(
      str(directory), size_guidance={'tensors': 0}
    )
    events.Reload()
    text = events.Tensors('config.gin')[0].tensor_proto
    self.assertEqual(tf.make_ndarray(text).tolist(), b'    train.seed = 3\n')
    content = events.summary_metadata[
      '_hparams_/session_start_info'
    ].plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(
      content
    ).session_start_info
    self.assertEqual(
      {name: value.WhichOneof('kind') for name, value in start.hparams.items()},
      {'train.seed': 'number_value', 'train.levels': 'string_value'},
    )
    self.assertEqual(start.group_name, directory.name)
    charts = {
      split: sorted(
        {
          tag
          for by, tag, _ in small_experiment.events(directory)
          if by == split
        }
      )
      for split in logs.SPLITS
    }
    self.assertEqual(charts['validation'], ['loss', 'top1', 'top5'])
    self.assertEqual(
      charts['train'],
      [
        *('loss', 'top1', 'top5', 'training/gradient_norm'),
        *('training/images_per_second', 'training/learning_rate'),
        *('training/waiting_for_data', 'training/weight_norm'),
      ],
    )
    width, height, picture = tf.make_ndarray(
      events.Tensors('augmented_inputs')[0].tensor_proto
    )
    self.assertEqual(
      tf.io.decode_png(picture).shape, (int(height), int(width), 3)
    )
    nodes = [node.name for node in events.Graph().node]
    self.assertTrue(any('head' in name for name in nodes))
    for name in 'confusion', 'most_confident_mistakes':
      self.assertEqual([each.step for each in events.Tensors(name)], [23])
    weights = _variables(directory)['model/small/head/kernel']
    last = events.Tensors('small/head/kernel')[-1]
    buckets = tf.make_ndarray(last.tensor_proto)
    self.assertEqual(last.step, 23)
    self.assertEqual(buckets[:, 2].sum(), weights.size)
    self.assertAlmostEqual(buckets[0, 0], weights.min(), places=6)
    self.assertAlmostEqual(buckets[-1, 1], weights.max(), places=6)

  def test_norms(self):
    directory = self._directory()
    self._train(
      ONE, directory, log_every='1 step', epochs=0.5, evaluate_every='1 step'
    )
    train = [line for line in _lines(directory) if line['split'] == 'train']
    variables = _variables(directory)
    trained = [
      value
      for name, value in variables.items()
      if name.startswith('model')
      and 'moving' not in name
      and 'seed' not in name
    ]
    self.assertAlmostEqual(
      train[-1]['weight_norm'],
      np.sqrt(sum(np.sum(np.square(each)) for each in trained)),
      places=4,
    )
    self.assertGreater(min(line['gradient_norm'] for line in train), 0)

  @parameterized.parameters((5, 7), (10, 12))  # A run of 12 steps.
  def test_profiles_the_steps_asked_for(self, first, end):
    directory = self._directory()
    self._train(ONE, directory, epochs=1, profile_steps=(first, end))
    (profile,) = directory.glob('plugins/profile/*/*.xplane.pb')
    self.assertTrue(b'small_1/conv2d_1' in profile.read_bytes())

  def test_resuming_in_a_profiled_range(self):
    resumed = profiling.Profile((5, 9), self._directory())
    calls = {step: resumed.distances(step) for step in (4, 5, 6, 8, 9)}
    self.assertEqual(calls, {4: [1, 5], 5: [1, 4], 6: [1, 3], 8: [1, 1], 9: []})

  def test_speed_is_that_of_the_latest_steps_without_evaluations(self):
    directory = self._directory()
    clock = mock.Mock()
    clock.monotonic.return_value = done = 0
    train, evaluate = learners.Learner.train, learners.Learner.evaluate

    def trained(learner, iterator, steps):
      """Takes a second for each of the first 10 steps, then two."""
      nonlocal done
      done += steps
      clock.monotonic.return_value += steps if done <= 10 else 2 * steps
      return train(learner, iterator, steps)

    def evaluated(*arguments):
      clock.monotonic.return_value += 1000
      return evaluate(*arguments)

    with (
      mock.patch.object(trainer, 'time', clock),
      mock.patch.object(learners.Learner, 'train', trained),
      mock.patch.object(learners.Learner, 'evaluate', evaluated),
    ):
      result = self._train(ONE, directory)
    self.assertGreater(clock.monotonic.return_value, 1000)
    self.assertEqual(result['seconds'], 10 + 2 * 13)
    self.assertEqual(result['images_per_second'], 23 * 8 / 36)
    speeds = {
      line['step']: line['images_per_second']
      for line in _lines(directory)
      if line['split'] == 'train'
    }
    self.assertEqual(speeds, {5: 8, 10: 8, 15: 4, 20: 4, 23: 4})

  def test_restarting_a_finished_run_returns_its_result(self):
    directory = self._directory()
    result = self._train(ONE, directory)
    with mock.patch.object(sys, 'stderr', io.StringIO()) as stream:
      self.assertEqual(self._train(ONE, directory), result)
    self.assertIn('This run is complete: all 23 steps are ', stream.getvalue())
    for advice in (f'--resume={directory} --allow_changes', 'train.run_dir'):
      self.assertIn(advice, stream.getvalue())
    with mock.patch.object(sys, 'stderr', io.StringIO()) as stream:
      self._train(ONE, directory, epochs=3)
    self.assertNotIn('is complete', stream.getvalue())

  def test_keeps_the_newest_and_the_best(self):
    directory = self._directory()
    result = self._train(ONE, directory, epochs=6, keep_checkpoints=1)
    kept = checkpoints.steps(directory / 'checkpoints')
    self.assertEqual(kept, sorted({result['best']['step'], result['step']}))

  def test_callbacks_are_told_what_the_run_does(self):
    directory, events = self._directory(), []
    self._train(ONE, directory, callbacks=[events.append], keep_checkpoints=9)
    told = [
      {'step': event.step, 'split': event.kind, **event.values}
      for event in events
      if event.kind != 'checkpoint'
    ]
    self.assertEqual(told, _lines(directory))
    saved = [event for event in events if event.kind == 'checkpoint']
    self.assertEqual(
      sorted({event.step for event in saved}),
      checkpoints.steps(directory / 'checkpoints'),
    )
    self.assertEqual({event.directory for event in events}, {directory})

  def test_callbacks_are_not_told_of_a_dry_run(self):
    events = []
    self._train(ONE, None, callbacks=[events.append])
    self.assertEmpty(events)

  def test_a_callback_that_fails_does_not_end_the_run(self):
    def fail(event):
      raise ValueError(f'no {event.kind}')

    with self.assertLogs(level='WARNING') as logged:
      result = self._train(ONE, self._directory(), callbacks=[fail])
    self.assertEqual(result['status'], 'completed')
    self.assertIn('ValueError: no checkpoint', '\n'.join(logged.output))

  def test_out_of_memory_names_the_batch_size(self):
    exhausted = tf.errors.ResourceExhaustedError(None, None, 'OOM when …')
    with (
      mock.patch.object(learners.Learner, 'trace'),
      mock.patch.object(learners.Learner, '_train', side_effect=exhausted),
    ):
      with self.assertRaises(errors.RunError) as caught:
        self._train(TWO, self._directory(), batch_size=16, accumulation=2)
    self.assertEqual(
      str(caught.exception),
      'Out of device memory with train.batch_size = 16 (2 x 2 x 4: replicas, '
      'train.accumulation, examples at once). Reduce train.batch_size or '
      'increase train.accumulation.',
    )

  def test_steps_before_an_evaluation_that_fails_are_saved(self):
    directory = self._directory()
    exhausted = tf.errors.ResourceExhaustedError(None, None, 'OOM when …')
    with mock.patch.object(
      evaluation.Evaluation, '_next_batch', side_effect=exhausted
    ):
      with self.assertRaisesRegex(
        errors.RunError, r'train\.evaluation_batch_size = 16\. Reduce it\.$'
      ):
        self._train(ONE, directory)
    self.assertEqual(checkpoints.steps(directory / 'checkpoints'), [10])
    # It is then made up for.
    self._train(ONE, directory, evaluation_batch_size=8)
    evaluated = [
      line['step']
      for line in _lines(directory)
      if line['split'] == 'validation'
    ]
    self.assertEqual(evaluated, [10, 20, 23])

  @parameterized.parameters(
    (learners.Learner, '_train'), (evaluation.Evaluation, '_next_batch')
  )
  def test_names_the_data_file_that_vanished(self, owner, name):
    gone = tf.errors.UnknownError(
      None,
      None,
      "{{node f}} FileNotFoundError: [Errno 2] No such file: 'a'\nTraceback …",
    )
    with (
      mock.patch.object(learners.Learner, 'trace'),
      mock.patch.object(owner, name, side_effect=gone),
      self.assertRaisesRegex(
        errors.RunError, r"FileNotFoundError: \[Errno 2\] No such file: 'a'"
      ),
    ):
      self._train(ONE, self._directory())

  def test_ends_early_when_nothing_improves(self):
    directory = self._directory()
    changes = {
      'epochs': 9,
      'early_stopping': plateaus.EarlyStopping(
        monitor='validation_loss', patience=2, minimum_change=9.0
      ),
    }
    result = self._train(ONE, directory, **changes)
    self.assertEqual(result['step'], 30)  # The first evaluation and two more.
    # A longer run has ended too, and says why.
    for epochs in (9, 18):
      with mock.patch.object(sys, 'stderr', io.StringIO()) as stream:
        again = self._train(ONE, directory, **changes | {'epochs': epochs})
      self.assertEqual(again, result)
      self.assertNotIn('is complete', stream.getvalue())
      self.assertRegex(
        stream.getvalue(),
        r'Early stopping ended the run at step 30 of (102|203): '
        'validation_loss did not improve in 2 evaluations',
      )

  def test_stops_when_the_loss_is_not_finite(self):
    def rate(timeline):
      del timeline
      # Steps 12 and 13 at rates of their own, amid a call of 4 steps.
      return keras.optimizers.schedules.PiecewiseConstantDecay(
        [10, 11, 12], [0.03, 1e30, 2e30, 0.5]
      )

    directory = self._directory()
    with self.assertRaises(errors.RunError) as caught:
      self._train(ONE, directory, learning_rate=rate, optimizer=_sgd, epochs=9)
    self.assertRegex(
      str(caught.exception),
      r'^The loss of step 13 is (nan|inf), at a learning rate of 2e\+30\. Last '
      r'finite loss: \d\.\d+\. Last checkpoint before: step 10\. Reduce the '
      r'learning rate or set train\.clip_norm\.$',
    )
    self.assertEqual(checkpoints.steps(directory / 'checkpoints'), [10])

  def test_reports_the_last_finite_loss_of_the_first_call(self):
    with self.assertRaises(errors.RunError) as caught:
      self._train(
        ONE,
        self._directory(),
        learning_rate=schedules.Constant(rate=1e30),
        optimizer=_sgd,
      )
    self.assertRegex(
      str(caught.exception),
      r'step [23] is .* Last finite loss: [\d.e+]+\. Last checkpoint before: '
      r'none\.',
    )

  @parameterized.parameters(1, 2)
  @bfloat16.needed
  def test_bfloat16_learns_with_weights_in_float32(self, replicas):
    strategy = ONE if replicas == 1 else TWO
    built = []

    def model():
      # Without dropout, which draws other numbers in bfloat16.
      built.append(small_experiment.network(dropout=0))
      return built[-1]

    plain, mixed = self._directory(), self._directory()
    changes = {'log_every': '1 step', 'model': model}
    self._train(strategy, plain, **changes)
    self._train(strategy, mixed, precision='bfloat16', **changes)
    computed = {layer.compute_dtype for layer in built[-1].layers}
    self.assertEqual(computed, {'bfloat16'})
    for name, value in _variables(mixed).items():
      self.assertIn(
        value.dtype, (np.float32, np.int32, np.int64, np.uint32), name
      )
    lines = _lines(mixed)
    self.assertLess(lines[-1]['loss'], lines[0]['loss'])
    # Before the first update, only the rounding of activations differs: 8 bits
    # of precision in logits of about 1.
    first = _lines(plain)[0]['loss']
    self.assertNotEqual(lines[0]['loss'], first)
    self.assertAlmostEqual(lines[0]['loss'], first, delta=2**-7)

  def test_the_average_is_evaluated(self):
    directory = self._directory()
    result = self._train(
      ONE, directory, epochs=6, average_decay=0.9, keep_checkpoints=9
    )
    # Each line has the metrics of its checkpoint's averages, including the
    # averaged statistics of normalization.
    model = small_experiment.make(ONE).build_model()
    split = small_experiment.read('', 'validation', 0)
    evaluate = evaluation.Evaluation(small_experiment.make(ONE), model, split)
    losses = {}
    for line in _lines(directory):
      if line['split'] == 'validation':
        for group in ('model', 'average'):
          saved = checkpoints.read(
            directory / 'checkpoints', line['step'], group
          )
          for weight in model.weights:
            weight.assign(saved[weight.path])
          losses[group] = evaluate().metrics().loss
        self.assertAlmostEqual(line['loss'], losses['average'], places=5)
        self.assertNotAlmostEqual(line['loss'], losses['model'], places=5)
        self.assertNotIn('average_loss', line)
    best = max(
      (each for each in _lines(directory) if each['split'] == 'validation'),
      key=lambda line: line['top1'],
    )
    self.assertEqual(result['best']['step'], best['step'])

  def test_starts_from_the_weights_of_another_run(self):
    first, second = self._directory(), self._directory()
    self._train(ONE, first, epochs=6)
    self._train(
      ONE,
      second,
      init_from=str(first),
      average_decay=0.9,
      learning_rate=schedules.Constant(rate=1e-30),
    )
    best = json.loads((first / 'result.json').read_text())['best']['step']
    loaded = checkpoints.read(first / 'checkpoints', best, 'model')
    for group in ('model', 'average'):
      started = checkpoints.read(second / 'checkpoints', 10, group)
      for path, value in started.items():
        # Only the statistics of normalization have changed.
        if not any(each in path for each in ('moving', 'seed')):
          np.testing.assert_array_equal(value, loaded[path], path)

  def test_a_fine_tuned_run_ends_like_an_uninterrupted_one(self):
    first, whole, stopped = (self._directory() for _ in range(3))
    self._train(ONE, first, seed=4)
    changes = {
      'init_from': str(first),
      'init_head': False,
      'trainable': ['*/conv2d/*', '*/head/*'],
      'parameter_groups': {'*/conv2d/*': {'learning_rate_factor': 0.1}},
      'optimizer': keras.optimizers.AdamW,
      'average_decay': 0.9,
    }
    self._train(ONE, whole, **changes)
    self._interrupted(stopped, 3, signal.SIGTERM, **changes)
    self._train(ONE, stopped, **changes)
    variables = _variables(whole)
    for name, value in variables.items():
      np.testing.assert_array_equal(value, _variables(stopped)[name], name)
    best = json.loads((first / 'result.json').read_text())['best']['step']
    loaded = checkpoints.read(first / 'checkpoints', best, 'model')
    for path, value in loaded.items():
      if 'seed' not in path:
        same = np.array_equal(value, variables[f'model/{path}'])
        self.assertEqual(same, 'batch_normalization' in path, path)
    # Each group has the state of an optimizer.
    counters = [name for name in variables if name.endswith('/iteration')]
    self.assertLen(counters, 2)

  def test_xla_is_for_one_replica(self):
    with self.assertRaisesRegex(
      errors.InputError,
      r'^train\.jit_compile .* wait for each other .* Received: 2 replicas\.',
    ):
      self._train(TWO, self._directory(), jit_compile=True)

  def test_batches_must_divide_among_the_replicas(self):
    with self.assertRaises(errors.InputError) as caught:
      self._train(TWO, self._directory(), batch_size=7)
    self.assertEqual(
      str(caught.exception),
      'train.batch_size must be a multiple of 2, for 2 replicas. Received: 7.',
    )

  def test_a_run_cannot_be_shortened_below_its_step(self):
    directory = self._directory()
    self._train(ONE, directory)
    self.steps.clear()
    for length, end in ((1, 12), ('22 steps', 22), ('160 images', 20)):
      with self.assertRaises(errors.InputError) as caught:
        self._train(ONE, directory, epochs=length)
      self.assertEqual(
        str(caught.exception),
        'train.epochs must not end before step 23, which this run has reached '
        f'already (2.044 epochs). Received: {length!r}, which ends at step '
        f'{end}.',
      )
    self.assertEmpty(self.steps)


if __name__ == '__main__':
  absltest.main()
