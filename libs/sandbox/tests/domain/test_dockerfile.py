"""What a Dockerfile builds on."""

from synthbench.sandbox.domain.dockerfile import base_images, labelled

TEXT = """# escape=\\
ARG TAG=3.11
ARG OTHER
FROM --platform=linux/amd64 python:${TAG} AS build
RUN echo a \\
  # a comment between
  FROM nobody:1
FROM build AS more
FROM scratch
FROM \\
  debian:${WHICH:-bookworm}
COPY --from=build /x /x
"""


def test_bases_are_named_once_and_stages_are_not_bases():
    assert base_images(TEXT) == ["python:3.11", "debian:bookworm"]
    assert base_images("RUN true") == []


def test_each_stage_gets_the_label_and_nothing_else_changes():
    lines = labelled(TEXT, "a=b").splitlines()
    assert [lines[i - 1] for i, line in enumerate(lines) if line == "LABEL a=b"] == [
        "FROM --platform=linux/amd64 python:${TAG} AS build",
        "FROM build AS more",
        "FROM scratch",
        "  debian:${WHICH:-bookworm}",
    ]
    assert [line for line in lines if line != "LABEL a=b"] == TEXT.splitlines()
