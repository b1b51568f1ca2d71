"""The checks of local/check_deploy.py: pinned, and nothing is left out without a reason."""

import re
from pathlib import Path

from local import check_deploy

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_check_that_is_skipped_has_its_reason() -> None:
    lines = (ROOT / ".checkov.yaml").read_text(encoding="utf-8").splitlines()
    skipped = [line for line in lines if line.strip().startswith("- ")]
    assert len(skipped) > 10
    assert [line for line in skipped if not re.fullmatch(r"  - CKV_AZURE_\d+ # \S.{20,}", line)] == []
    assert all(len(reason) > 5 for reason in check_deploy.WARNINGS.values())


def test_every_tool_is_pinned() -> None:
    for package in (check_deploy.ZIZMOR, check_deploy.DOCTOR, check_deploy.CHECKOV, *check_deploy.POWERSHELL):
        assert re.fullmatch(r"[\w-]+==\d+(\.\d+)+", package), package


def test_checkov_gets_every_resource() -> None:
    kinds = {resource["type"] for resource in check_deploy.template()["resources"]}
    assert {"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.Web/sites"} <= kinds
    assert "${common" not in str(check_deploy.template())


def test_queries_of_alerts_workbook_and_documentation_are_looked_at() -> None:
    queries = check_deploy.queries()
    assert len([name for name in queries if name.endswith(".kql")]) == len(list((ROOT / "infra/queries").iterdir()))
    assert any(name.startswith("workbook.json") for name in queries)
    assert any(name.startswith("deploy.md") for name in queries)


def test_ci_runs_them() -> None:
    assert "local.check_deploy" in (ROOT / ".ci/run").read_text(encoding="utf-8")
