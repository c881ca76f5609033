"""A model's chat template: messages in, the prompt that it was trained on out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gpu_service.model import ModelError
from shared.core.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Template:
    """A Jinja template in a sandbox, with what Hugging Face's `apply_chat_template` gives it."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        """Compile `source`; `tokens` are the texts of `bos_token` and `eos_token`, as far as the model has them.

        Raises:
            ModelError: it is no template.
        """
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        self._tokens = {"bos_token": "", "eos_token": "", **tokens}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelError(f"The model's chat template is none that Jinja reads: {error}.") from error

    def prompt(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Write the prompt that an answer follows.

        Raises:
            BadRequest: the template finds fault with the messages.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._tokens)
        except jinja2.TemplateError as error:
            raise BadRequest(f"The model's chat template refuses the messages: {error}.", param="messages") from error


def _refuse(reason: str) -> NoReturn:
    raise jinja2.TemplateError(reason)
