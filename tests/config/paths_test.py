"""Where files are searched."""

import os

from absl.testing import absltest

from tests.config import config_case
from tinygin.config import paths


class PathsTest(config_case.ConfigCase):
  def test_resolves_against_the_users_folder(self):
    self.assertEqual(paths.resolve('a/b'), f'{self.folder}/a/b')
    self.assertEqual(paths.resolve('/a/../b'), '/b')
    self.assertEqual(paths.resolve('~/a'), os.path.expanduser('~/a'))
    self.assertEqual(paths.resolve('gs://bucket/a'), 'gs://bucket/a')

  def test_without_bazel_it_is_the_current_folder(self):
    del os.environ['BUILD_WORKING_DIRECTORY']
    self.assertEqual(paths.resolve('a'), os.path.join(os.getcwd(), 'a'))

  def test_finds_the_users_file_before_the_projects(self):
    name = 'tinygin/config/paths.py'
    ours = os.path.join(paths.project_root(), name)
    self.assertEqual(paths.find(name), ours)
    self.assertEqual(paths.find(self.write(name, '')), f'{self.folder}/{name}')
    self.assertEqual(paths.find(name), f'{self.folder}/{name}')

  def test_missing_names_the_nearest(self):
    self.write('gin/base.gin', '')
    with self.assertRaisesRegex(
      config_case.InputError,
      r'^No such file: gin/bsae.gin\. Did you mean gin/base\.gin\?$',
    ):
      paths.find('gin/bsae.gin')

  def test_display(self):
    self.assertEqual(paths.display(f'{self.folder}/a/b'), 'a/b')
    self.assertEqual(paths.display(f'{paths.project_root()}/gin/x'), 'gin/x')
    self.assertEqual(paths.display('/elsewhere/x'), '/elsewhere/x')

  def test_display_of_a_project_file_with_the_name_of_a_users_file(self):
    name = 'tinygin/config/paths.py'
    ours = os.path.join(paths.project_root(), name)
    self.assertEqual(paths.display(ours), name)
    self.assertEqual(paths.display(self.write(name, '')), name)
    self.assertEqual(paths.display(ours), ours)

  def test_display_of_a_project_file_that_the_user_links(self):
    name = 'tinygin/config/paths.py'
    ours = os.path.join(paths.project_root(), name)
    os.makedirs(f'{self.folder}/tinygin/config')
    os.symlink(ours, f'{self.folder}/{name}')
    self.assertEqual(paths.display(ours), name)


if __name__ == '__main__':
  absltest.main()
