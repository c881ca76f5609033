"""CloudFormation's intrinsic functions, so that the local parts read the same template that is deployed.

References are looked up in one flat mapping: `"Logical"` is a Ref, `"Logical.Attribute"` a GetAtt, `"AWS::Region"` a
pseudo parameter. Nothing is guessed: what the mapping does not hold is an error that names it.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final

from cdk.local.child import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Value = Any  # JSON: the shape depends on the property
NO_VALUE: Final = object()
_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]*)\}")


class TemplateError(LocalError):
    """The template holds something that cannot be resolved here; the message names it."""


class Resolver:
    """Evaluates values of one template."""

    def __init__(self, template: Mapping[str, Value], references: Mapping[str, str]) -> None:
        self._conditions: Mapping[str, Value] = template.get("Conditions", {})
        self._mappings: Mapping[str, Value] = template.get("Mappings", {})
        self._references = references

    def __call__(self, value: Value) -> Value:
        """Return `value` with every intrinsic function in it replaced by what it stands for."""
        if isinstance(value, list):
            return [item for item in map(self, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return _plain(value)
        if function := _intrinsic(value):
            return getattr(self, _FUNCTIONS[function])(value[function])
        pairs = ((name, self(inner)) for name, inner in value.items())
        return {name: inner for name, inner in pairs if inner is not NO_VALUE}

    def holds(self, condition: str) -> bool:
        """Say whether a named condition of the template is true."""
        if condition not in self._conditions:
            raise TemplateError(f"The template has no condition called {condition!r}.")
        return bool(self(self._conditions[condition]))

    def _ref(self, name: str) -> Value:
        return NO_VALUE if name == "AWS::NoValue" else self._look_up(name)

    def _get_att(self, path: str | list[str]) -> str:
        return self._look_up(path if isinstance(path, str) else ".".join(path))

    def _look_up(self, name: str) -> str:
        if name not in self._references:
            raise TemplateError(f"The template refers to {name!r}, which nothing here provides.")
        return self._references[name]

    def _join(self, arguments: list[Value]) -> str:
        separator, parts = arguments
        return str(separator).join(str(part) for part in self(parts))

    def _split(self, arguments: list[Value]) -> list[str]:
        separator, text = arguments
        return str(self(text)).split(separator)

    def _select(self, arguments: list[Value]) -> Value:
        index, choices = int(self(arguments[0])), self(arguments[1])
        if not 0 <= index < len(choices):
            raise TemplateError(f"Fn::Select asks for item {index} of {len(choices)}.")
        return choices[index]

    def _sub(self, arguments: str | list[Value]) -> str:
        text, extra = (arguments, {}) if isinstance(arguments, str) else arguments
        variables = {name: str(self(value)) for name, value in extra.items()}

        def fill(match: re.Match[str]) -> str:
            literal, name = match.groups()
            return f"${{{name}}}" if literal else variables.get(name) or self._look_up(name)

        return _PLACEHOLDER.sub(fill, text)

    def _if(self, arguments: list[Value]) -> Value:
        condition, yes, no = arguments
        return self(yes if self.holds(condition) else no)

    def _equals(self, arguments: list[Value]) -> bool:
        left, right = map(self, arguments)
        return bool(left == right)

    def _and(self, arguments: list[Value]) -> bool:
        return all(map(self, arguments))

    def _or(self, arguments: list[Value]) -> bool:
        return any(map(self, arguments))

    def _not(self, arguments: list[Value]) -> bool:
        return not self(arguments[0])

    def _find_in_map(self, arguments: list[Value]) -> Value:
        name, first, second = map(self, arguments)
        return self._mappings[name][first][second]

    def _import_value(self, name: Value) -> str:
        return self._look_up(f"export:{self(name)}")

    def _base64(self, text: Value) -> str:
        return base64.b64encode(str(self(text)).encode()).decode()


_FUNCTIONS: Final = {
    "Ref": "_ref",
    "Condition": "holds",
    "Fn::GetAtt": "_get_att",
    "Fn::Join": "_join",
    "Fn::Split": "_split",
    "Fn::Select": "_select",
    "Fn::Sub": "_sub",
    "Fn::If": "_if",
    "Fn::Equals": "_equals",
    "Fn::And": "_and",
    "Fn::Or": "_or",
    "Fn::Not": "_not",
    "Fn::FindInMap": "_find_in_map",
    "Fn::ImportValue": "_import_value",
    "Fn::Base64": "_base64",
}


def references(value: Value) -> Iterator[str]:
    """Yield what `value` refers to, in the notation of the mapping."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        if (function := _intrinsic(value)) and (names := _NAMED.get(function)):
            yield from names(value[function])
        for inner in value.values():
            yield from references(inner)


def substitute(value: Value, known: Mapping[str, Value]) -> Value:
    """Replace the references that `known` answers and leave all others as they are."""
    if isinstance(value, list):
        return [substitute(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    function = _intrinsic(value)
    if function in ("Ref", "Fn::GetAtt"):
        (name,) = references(value)
        return known.get(name, value)
    inner = {name: substitute(part, known) for name, part in value.items()}
    if function == "Fn::Sub":
        return {"Fn::Sub": _substitute_text(inner["Fn::Sub"], known)}
    return inner


def _substitute_text(arguments: str | list[Value], known: Mapping[str, Value]) -> str | list[Value]:
    def fill(match: re.Match[str]) -> str:
        return match[0] if match[1] or not isinstance(known.get(match[2]), str) else str(known[match[2]])

    if isinstance(arguments, str):
        return _PLACEHOLDER.sub(fill, arguments)
    return [_PLACEHOLDER.sub(fill, arguments[0]), arguments[1]]


def _intrinsic(value: Mapping[str, Value]) -> str | None:
    """Name the function that `value` calls, if it is a call; an unknown one is an error."""
    if len(value) != 1:
        return None
    (name,) = value
    if name.startswith("Fn::") and name not in _FUNCTIONS:
        raise TemplateError(f"The template calls {name}, which the local run does not know.")
    is_call = name in _FUNCTIONS and (name != "Condition" or isinstance(value[name], str))
    return name if is_call else None


def _names_in_text(arguments: str | list[Value]) -> Iterator[str]:
    text, own = (arguments, {}) if isinstance(arguments, str) else arguments
    yield from (name for literal, name in _PLACEHOLDER.findall(text) if not literal and name not in own)


_NAMED: Final[Mapping[str, Callable[[Value], Iterator[str]]]] = {
    "Ref": lambda name: iter((name,)),
    "Fn::GetAtt": lambda path: iter((path if isinstance(path, str) else ".".join(path),)),
    "Fn::Sub": _names_in_text,
}


def _plain(value: Value) -> Value:
    if isinstance(value, str) and "{{resolve:" in value:
        raise TemplateError(f"The template holds {value!r}, a dynamic reference the local run does not resolve.")
    return value
