"""Builds the wheel that `pip` builds from pyproject.toml."""

def _wheel_impl(context):
    # The name of the file contains the version, which only pyproject.toml knows.
    folder = context.actions.declare_directory("dist")
    context.actions.run(
        executable = context.executable._build,
        arguments = [folder.path],
        inputs = context.files.srcs,
        outputs = [folder],
        mnemonic = "Wheel",
        use_default_shell_env = True,
    )
    return [DefaultInfo(
        files = depset([folder]),
        runfiles = context.runfiles([folder]),
    )]

wheel = rule(
    doc = "Builds a wheel in a folder named `dist`.",
    implementation = _wheel_impl,
    attrs = {
        "srcs": attr.label_list(
            doc = "pyproject.toml and the files that it names.",
            allow_files = True,
        ),
        "_build": attr.label(
            default = "//tools/bazel:build_wheel",
            executable = True,
            cfg = "exec",
        ),
    },
)
