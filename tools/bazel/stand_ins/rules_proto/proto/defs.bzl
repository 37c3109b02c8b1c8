"""The rules of rules_proto, as Bazel 4 has them built in."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
