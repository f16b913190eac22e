"""Groups of command-line options: a group is a dataclass whose fields are options, and several commands can share it."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def with_option_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Convert `command` for Typer: a parameter that is a group of options is replaced by one parameter for each field of the group."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _flags(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))

    def flat(**values: Any) -> Any:
        grouped = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})  # pyrefly: ignore[not-callable]
            for name, group in groups.items()
        }
        return command(**grouped, **values)

    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__signature__ = inspect.Signature(parameters)  # pyrefly: ignore[missing-attribute]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _flags(group: Any) -> list[inspect.Parameter]:
    """One keyword parameter for each field of a group of options."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(group)
    ]
