"""Calls components with the values that a configuration binds to them."""

import contextlib
import inspect
import re
import traceback
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from tinygin.config import components
from tinygin.config import constraints
from tinygin.config import errors
from tinygin.config import resolution


class Closure:
  """A component with its bound values; it replaces a reference `@name`.

  Arguments of a call override bound values. Values and scopes are resolved
  before any call. So a call has the same effect on every thread, at any time
  and beside any other configuration.
  """

  def __init__(
    self,
    node: resolution.Node,
    nodes: Mapping[resolution.Key, resolution.Node],
  ):
    """Takes the component.

    Args:
      node: the component and its values.
      nodes: all components of the program, to which references lead.
    """
    self.node = node
    self._nodes = nodes
    known = node.component.parameters
    self._positional = [name for name in known if known[name].positional]
    self._values = {
      name: constraints.as_declared(argument.value, known[name].annotation)
      for name, argument in node.arguments.items()
    }
    self.__name__ = node.component.target.__name__

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Calls the component, and first each `@name()` among its values."""
    given = {*self._positional[: len(args)], *kwargs}
    bound = {
      name: self._build(value)
      for name, value in self._values.items()
      if name not in given
    }
    return self.node.component.target(*args, **bound, **kwargs)

  def _build(self, value: Any) -> Any:
    if isinstance(value, components.Target):
      node = self._nodes[value.scope, value.component]
      closure = Closure(node, self._nodes)
      if value.reference.called:
        return closure()
      # Keras saves functions by their names.
      is_plain = inspect.isfunction(node.component.target)
      return (
        node.component.target if is_plain and not node.arguments else closure
      )
    return resolution.transform(value, self._build)


@contextlib.contextmanager
def building() -> Iterator[None]:
  """Turns errors of components into messages about the configuration.

  Use it only where models and optimizers are built: later errors are errors in
  code, and need their traceback.

  Raises:
    InputError: a component raised a TypeError or a ValueError. The message
      names the component, and the places of the parameters that it mentions.
  """
  try:
    yield
  except (TypeError, ValueError) as error:
    name, node = innermost_component(error)
    if not name:
      raise
    places = [
      f'\n  {name}.{parameter} is bound at {argument.where}.'
      for parameter, argument in (node.arguments.items() if node else ())
      if re.search(rf'\b{parameter}\b', str(error))
    ]
    raise errors.InputError(f'{name}: {error}{"".join(places)}') from error


def innermost_component(
  error: BaseException,
) -> tuple[str, resolution.Node | None]:
  """Returns the innermost component on the traceback of an error.

  Returns:
    The component's name, or an empty string; and its values, or None if a
    method of an object raised the error.
  """
  # A frame identifies a method by the class of `self`, a function by its code.
  known = {
    getattr(each.wrapped, '__code__', each.wrapped): each
    for each in components.registered()
  }
  found: tuple[str, resolution.Node | None] = '', None
  for frame, _ in traceback.walk_tb(error.__traceback__):
    owner = frame.f_locals.get('self')
    configurable = known.get(type(owner)) or known.get(frame.f_code)
    if isinstance(owner, Closure):
      found = owner.node.name, owner.node
    elif configurable and not (
      found[1] and found[1].component.target is configurable.wrapped
    ):
      found = components.shortest(configurable), None
  # TensorFlow raises errors in traced functions again, as new errors.
  earlier = error.__cause__ or error.__context__
  return found if found[0] or not earlier else innermost_component(earlier)
