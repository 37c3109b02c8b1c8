"""Builds the wheel of the working directory into the named folder."""

import sys

from hatchling import build

if __name__ == '__main__':
  print(build.build_wheel(sys.argv[1]))
