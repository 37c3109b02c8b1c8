"""The Python of all rules: a virtual environment with the locked packages."""

_BUILD = """\
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{interpreter}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

# The environment is named after the lock and the interpreter, so that Bazel does
# not reuse cached test results of another environment. The executable is the real
# one behind pyenv's shims and active environments.
_DESCRIBE = """\
import hashlib, os, sys
executable = os.path.realpath(getattr(sys, '_base_executable', sys.executable))
identity = sys.version.encode() + open(sys.argv[1], 'rb').read()
print(executable, hashlib.sha256(identity).hexdigest()[:16])
"""

_HOUR = 3600

def _run(context, step, arguments):
    """Runs one step and returns its output; fails the build if it fails."""
    context.report_progress(step)
    result = context.execute(arguments, timeout = _HOUR)
    if result.return_code:
        lines = (result.stdout + result.stderr).strip().split("\n")
        fail("\n".join(
            ["%s failed with status %d. Its last lines:" % (
                step,
                result.return_code,
            )] + ["  " + line for line in lines[-15:]],
        ))
    return result.stdout.strip()

def _python_environment_impl(context):
    python = context.os.environ.get("TINYGIN_PYTHON") or context.which("python3")
    if not python:
        fail("Python 3 was not found on the PATH. Run Bazel through ./bazelw.")
    lock = context.path(context.attr.requirements)

    description = _run(
        context,
        "Asking %s for its version" % python,
        [python, "-I", "-c", _DESCRIBE, lock],
    )
    executable, _, digest = description.rpartition(" ")
    environment = context.path(digest)

    # Bazel shows progress on terminals only. It repeats this line when it reuses
    # the environment.
    # buildifier: disable=print
    print("The Python environment of %s takes a few minutes, once." %
          lock.basename)
    _run(
        context,
        "Creating a virtual environment with %s" % executable,
        [executable, "-I", "-m", "venv", environment],
    )
    interpreter = environment.get_child("bin").get_child("python")
    _run(
        context,
        "Installing the packages of %s" % lock.basename,
        [interpreter, "-I", "-m", "pip", "install", "--no-input"] +
        ["--require-hashes", "--requirement", lock],
    )
    context.file("BUILD", _BUILD.format(interpreter = interpreter))

python_environment = repository_rule(
    doc = """Creates a virtual environment and registers it as a toolchain.

It is created again only when the lock or the interpreter changes. pip uses the
user's own configuration files and environment variables.""",
    implementation = _python_environment_impl,
    attrs = {
        "requirements": attr.label(
            doc = "A lock with a hash for each package.",
            mandatory = True,
        ),
    },
    environ = ["TINYGIN_PYTHON"],
)
