"""Local copies of the repositories Bazel would fetch from GitHub."""

_REPOSITORIES = [
    "remote_coverage_tools",
    "rules_cc",
    "rules_java",
    "rules_proto",
]

def stand_ins():
    """Replaces Bazel's own dependencies under Debian's `bazel-bootstrap`.

    Debian builds Bazel for machines that reach Debian's archive and nothing
    else. Bazel's tools load rules from GitHub nevertheless, and never use
    them for Python. Debian's build is the one that carries no version.
    """
    if native.bazel_version:
        return
    for name in _REPOSITORIES:
        native.local_repository(
            name = name,
            path = "tools/bazel/stand_ins/" + name,
        )
