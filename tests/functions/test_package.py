"""The folder as Lambda runs it: a package of its own, with nothing but boto3 beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from functions.promotion import handler
from functions.promotion.settings import SettingsError

FOLDER = Path(handler.__file__).parents[1]
# What boto3 itself brings.
ALLOWED = {
    "boto3",
    "botocore",
    "certifi",
    "dateutil",
    "jmespath",
    "promotion",
    "s3transfer",
    "six",
    "urllib3",
}


def test_it_needs_only_boto3_and_runs_under_the_name_of_its_folder() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); before = set(sys.modules)\n"
        "import promotion.handler\n"
        "own = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(own - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    found = {name for name in run.stdout.split() if not name.startswith("_")}
    assert found <= ALLOWED
    assert {"boto3", "promotion"} <= found


def test_a_wrong_environment_is_told_before_any_message_is_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LEDGER_TABLE", raising=False)
    with pytest.raises(SettingsError, match="LEDGER_TABLE is missing"):
        handler.handle({"Records": [{"messageId": "1", "body": "{}"}]}, None)


def test_every_variable_is_documented() -> None:
    documented = {
        line.split("``")[1] for line in str(handler.__doc__).splitlines() if line.startswith("``")
    }
    with pytest.raises(SettingsError) as error:
        handler.read_settings({})
    needed = {line.split(" ")[0] for line in str(error.value).splitlines()[1:]}
    source = (FOLDER / "promotion" / "settings.py").read_text()
    assert needed <= documented
    assert {name for name in documented if f'"{name}"' not in source} <= {"ReportBatchItemFailures"}
