"""Secrets come from a file or the environment, never from the configuration itself."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kspace.errors import ConfigError
from kspace.paths import AbsolutePath


def _without_a_password(url: str) -> str:
    if re.search(r"://[^/@]*:[^/@]*@|password=", url, re.IGNORECASE):
        raise ValueError("no password may stand in an address: it would show in errors and lists; see the example")
    return url


PlainUrl = Annotated[str, AfterValidator(_without_a_password)]
"""An address that anybody may read."""


class Secret(BaseModel):
    """Where a secret stands: ``{ file = "…" }`` or ``{ env = "…" }``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: AbsolutePath | None = None
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    @model_validator(mode="after")
    def _one_place(self) -> "Secret":
        if (self.file is None) == (self.env is None):
            raise ValueError('a secret stands in exactly one place: { file = "…" } or { env = "…" }')
        return self

    def reveal(self) -> str:
        """Return the secret, without the line's end.

        Raises:
            ConfigError: the file or the variable is not there.
        """
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigError(f"The environment has no variable {self.env}; set it before starting the relay.")
            return os.environ[self.env]
        try:
            return Path(str(self.file)).read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError(f"The secret's file {self.file} is no UTF-8 text; write the secret anew.") from None
        except OSError as error:
            raise ConfigError(f"The secret's file {self.file} cannot be read: {error.strerror}.") from error
