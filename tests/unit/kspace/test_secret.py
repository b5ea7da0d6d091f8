"""Secrets come from exactly one place and never show."""

import pytest
from pydantic import ValidationError

from kspace.errors import ConfigError
from kspace.secret import Secret


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_gives_its_text_without_the_lines_end(tmp_path, end):
    (tmp_path / "password").write_bytes(f" p w\t{end}".encode())
    assert Secret(file=tmp_path / "password").reveal() == " p w\t"


def test_a_variable_gives_its_value(monkeypatch):
    monkeypatch.setenv("KSPACE_SECRET_UNDER_TEST", "p w")
    assert Secret(env="KSPACE_SECRET_UNDER_TEST").reveal() == "p w"


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("KSPACE_SECRET_UNDER_TEST", raising=False)
    with pytest.raises(ConfigError, match="KSPACE_SECRET_UNDER_TEST"):
        Secret(env="KSPACE_SECRET_UNDER_TEST").reveal()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="password"):
        Secret(file=tmp_path / "password").reveal()


def test_a_file_that_is_no_text_is_named_and_not_quoted(tmp_path):
    (tmp_path / "password").write_bytes(b"gehe\xff\xfeim")
    with pytest.raises(ConfigError, match="password") as caught:
        Secret(file=tmp_path / "password").reveal()
    assert "gehe" not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"file": "/a", "env": "A"}, {"value": "geheim"}])
def test_a_secret_stands_in_exactly_one_place(given):
    with pytest.raises(ValidationError):
        Secret.model_validate(given)


def test_it_shows_where_it_stands_never_what_it_is(tmp_path):
    (tmp_path / "password").write_text("geheim")
    secret = Secret(file=tmp_path / "password")
    assert secret.reveal() == "geheim"
    assert "geheim" not in repr(secret)
