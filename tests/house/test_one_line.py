"""What a person can mend is said in one line, with the file first."""

from pathlib import Path

import pytest
import typer

from app.cli.errors import in_one_line


def said(error: Exception, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(typer.Exit) as ended, in_one_line(ValueError, OSError):
        raise error
    assert ended.value.exit_code == 2
    return capsys.readouterr().err


def test_a_missing_file_is_named_without_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(FileNotFoundError) as found:
        missing.read_bytes()

    assert said(found.value, capsys) == f"fewstep: {missing}: no such file or directory\n"


@pytest.mark.parametrize("error", [ValueError("expected a, got b"), FileNotFoundError("no recipe")])
def test_our_own_words_stay_as_they_are(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(error, capsys) == f"fewstep: {error}\n"
