"""What TensorBoard shows of runs."""

import argparse
import pathlib

from absl.testing import absltest
from tensorboard import context as contexts
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import backend_context

from tinygin.reporting import logs
from tinygin.training import overview


def _provenance(decay, epochs, rate):
  values = {'decay': decay, 'epochs': epochs, 'network': '@wide', 'rate': rate}
  return {
    'starts': [
      {
        'parameters': [
          {
            'component': 'train',
            'parameter': name,
            'numeric': name in ('decay', 'rate'),
            'value': value,
            'text': str(value),
            'source': 'a.gin:1',
          }
          for name, value in values.items()
        ]
      }
    ]
  }


class HyperparametersTest(absltest.TestCase):
  def test_a_parameter_has_the_same_type_in_all_runs(self):
    directory = pathlib.Path(self.create_tempdir().full_path)
    for name, *bound in (
      ('a', None, 5.0, 0.1),
      ('b', 0.1, '500 steps', '@schedule()'),
      ('c', 0.2, 5.0, [0.1, 0.2]),
    ):
      (directory / name).mkdir()
      log = logs.Logs(directory / name, {})
      values = overview._hyperparameters(_provenance(*bound))
      log.write_hyperparameters(values)
      log.close()
    self.assertEqual(
      _types(directory),
      {
        'train.decay': api_pb2.DATA_TYPE_FLOAT64,
        'train.epochs': api_pb2.DATA_TYPE_STRING,
        'train.network': api_pb2.DATA_TYPE_STRING,
        'train.rate': api_pb2.DATA_TYPE_FLOAT64,
      },
    )


def _types(directory):
  """Returns the types of hyperparameters as TensorBoard sees them."""
  multiplexer = plugin_event_multiplexer.EventMultiplexer()
  multiplexer.AddRunsFromDirectory(str(directory))
  multiplexer.Reload()
  context = backend_context.Context(
    base_plugin.TBContext(
      data_provider=data_provider.MultiplexerDataProvider(multiplexer, ''),
      flags=argparse.Namespace(generic_data='true'),
    )
  )
  request = contexts.RequestContext()
  found = context.experiment_from_metadata(
    request,
    '',
    include_metrics=False,
    hparams_run_to_tag_to_content=context.hparams_metadata(request, ''),
    data_provider_hparams=context.hparams_from_data_provider(request, '', None),
  )
  return {each.name: each.type for each in found.hparam_infos}


if __name__ == '__main__':
  absltest.main()
