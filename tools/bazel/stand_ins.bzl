"""Local copies of repositories that Bazel would fetch from GitHub."""

_REPOSITORIES = [
    "remote_coverage_tools",
    "rules_cc",
    "rules_java",
    "rules_proto",
]

def stand_ins():
    """Replaces Bazel's own dependencies under Debian's `bazel-bootstrap`.

    Debian's `bazel-bootstrap` should work on machines that reach only Debian's
    archive, but its tools load rules from GitHub that Python targets never use.
    Only Debian's build has no version number.
    """
    if native.bazel_version:
        return
    for name in _REPOSITORIES:
        native.local_repository(
            name = name,
            path = "tools/bazel/stand_ins/" + name,
        )
