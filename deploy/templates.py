"""CloudFormation templates as data."""

from pathlib import Path
from typing import Any

import yaml


class _TemplateLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where built
    """Reads CloudFormation's short tags as plain data: !Ref X becomes {"Ref": X}."""


def _construct_intrinsic(loader: Any, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


_TemplateLoader.add_multi_constructor("!", _construct_intrinsic)


def load_template(path: Path) -> dict[str, Any]:
    """Read a template's file; its short tags are plain data, !Ref X being {"Ref": X}."""
    return parse_template(path.read_text(encoding="utf-8"))


def parse_template(text: str) -> dict[str, Any]:
    """Read a template likewise that is no file."""
    template: dict[str, Any] = yaml.load(text, Loader=_TemplateLoader)  # noqa: S506 - a safe one
    return template
