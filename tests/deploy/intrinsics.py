"""Templates as data, and the values that CloudFormation would put in the place of their intrinsic functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from cfnlint.decode.cfn_yaml import load

from tests.conftest import CHECKOUT

TEMPLATES: Final = CHECKOUT / "deploy"
NO_VALUE: Final = "AWS::NoValue"
_NAMES: Final = re.compile(r"\$\{([^!}][^}]*)\}")

Template: TypeAlias = Mapping[str, Any]
_PURE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Fn::Select": lambda argument: argument[1][int(argument[0])],
    "Fn::Split": lambda argument: argument[1].split(argument[0]),
    "Fn::Join": lambda argument: argument[0].join(argument[1]),
    "Fn::Equals": lambda argument: str(argument[0]) == str(argument[1]),
    "Fn::Not": lambda argument: not argument[0],
    "Fn::Or": any,
    "Fn::Contains": lambda argument: argument[1] in argument[0],
    "Fn::EachMemberEquals": lambda argument: all(one == argument[1] for one in argument[0]),
}
"""What the functions come to that know nothing but their arguments."""


def read_template(path: Path) -> Template:
    """Read a template; ``!Ref X`` and its like become ``{"Ref": X}``, ``!Sub`` and its like ``{"Fn::Sub": X}``."""
    template: Template = load(str(path))
    return template


def of_type(template: Template, name: str) -> dict[str, Any]:
    """Return the resources of a type by their logical ids."""
    return {key: one for key, one in template["Resources"].items() if one["Type"] == name}


def exports_of(template: Template, value_of: Callable[[str], str]) -> dict[str, str]:
    """Return what the stack ``darkroom-data`` of a template exports; ``value_of`` tells the value of each output."""
    own = {"AWS::StackName": "darkroom-data"}
    names = Intrinsics(template=template, names=own, exports={})
    return {names.resolve(told["Export"]["Name"]): value_of(output) for output, told in template["Outputs"].items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Intrinsics:
    """Resolves intrinsic functions.

    ``names`` holds what ``!Ref`` and ``!GetAtt`` (``Resource.Attribute``) give, where that is no parameter's default; ``exports``
    holds what other stacks export.
    """

    template: Template
    names: Mapping[str, Any]
    exports: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """Return the value with every function in it carried out. Raises KeyError for a name that nothing is known of."""
        if isinstance(value, list):
            return [one for one in map(self.resolve, value) if one != NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function in ("Ref", "Condition") or function.startswith("Fn::"):
                return self._carry_out(function, argument)
        told = {name: self.resolve(one) for name, one in value.items()}
        return {name: one for name, one in told.items() if one != NO_VALUE}

    def holds(self, condition: str) -> bool:
        """Tell whether a condition of the template is true."""
        return bool(self.resolve(self.template["Conditions"][condition]))

    def refused(self) -> list[str]:
        """Return which of the template's rules would refuse its parameters."""
        rules = self.template.get("Rules", {})
        return [
            name
            for name, rule in rules.items()
            if self.resolve(rule.get("RuleCondition", {"Fn::Not": [False]}))
            and not all(self.resolve(one["Assert"]) for one in rule["Assertions"])
        ]

    def _carry_out(self, function: str, argument: Any) -> Any:
        knowing: dict[str, Callable[[Any], Any]] = {
            "Ref": lambda name: NO_VALUE if name == NO_VALUE else self._name(name),
            "Condition": self.holds,
            "Fn::GetAtt": lambda path: self._name(path if isinstance(path, str) else ".".join(path)),
            "Fn::If": lambda choice: self.resolve(choice[1] if self.holds(choice[0]) else choice[2]),
            "Fn::ImportValue": lambda name: self.exports[self.resolve(name)],
            "Fn::Sub": self._substitute,
        }
        return knowing[function](argument) if function in knowing else _PURE[function](self.resolve(argument))

    def _substitute(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))
        told = _NAMES.sub(lambda found: str(own[found[1]] if found[1] in own else self._name(found[1])), text)
        return told.replace("${!", "${")

    def _name(self, name: str) -> Any:
        parameter = self.template["Parameters"].get(name, {})
        value = self.names[name] if name in self.names else parameter["Default"]
        return value.split(",") if parameter.get("Type") == "CommaDelimitedList" else value
