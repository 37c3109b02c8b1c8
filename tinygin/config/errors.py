"""The one exception that means: the user's input is wrong."""


class InputError(Exception):
  """The user's configuration, flags or files are wrong.

  The text is the whole message: what was wrong, what was expected, what
  arrived, where. Entry points print it alone and exit with status 2.
  """


class RunError(Exception):
  """A run cannot go on, for a reason that is not in its input.

  The text is the whole message. Entry points print it alone and exit with
  `exit_status`.
  """

  exit_status = 1
