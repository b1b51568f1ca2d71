"""infra/mailbox-access.ps1, run by PowerShell on a mocked Exchange (exchange.ps1); where there is none, that is said."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent.parent / "infra/mailbox-access.ps1"
PWSH = shutil.which("pwsh")
CLIENT, OBJECT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
OTHER_CLIENT, OTHER_OBJECT = "33333333-3333-3333-3333-333333333333", "44444444-4444-4444-4444-444444444444"
ROLE = "Application Calendars.ReadWrite"
NAME = f"acumatica-to-outlook {CLIENT}"
GROUP = "calendar-app"

needs_pwsh = pytest.mark.skipif(PWSH is None, reason="NOT RUN: there is no PowerShell (pwsh) on this machine")


def tenant(**more: Any) -> dict[str, Any]:
    """A tenant with people, a stranger's group, scope and assignments; nothing of ours."""
    return {
        "everything": False,
        "deaf": False,
        "principals": [{"AppId": OTHER_CLIENT, "ObjectId": OTHER_OBJECT, "DisplayName": "other"}],
        "groups": [group("strangers", ["ceo@example.com"])],
        "scopes": [{"Name": "strangers", "RecipientFilter": "MemberOfGroup -eq 'CN=strangers'"}],
        "assignments": [
            {"Name": "other", "App": OTHER_OBJECT, "Role": ROLE, "CustomResourceScope": "strangers"},
            {"Name": "Mail Recipients-Admins", "App": "", "Role": "Mail Recipients", "CustomResourceScope": ""},
        ],
        "mailboxes": [{"PrimarySmtpAddress": f"{name}@example.com", "Alias": name} for name in ("ann", "bob", "ceo")],
        **more,
    }


def group(name: str, members: list[str], kind: str = "MailUniversalSecurityGroup") -> dict[str, Any]:
    return {"Name": name, "DistinguishedName": f"CN={name}", "RecipientTypeDetails": kind, "Members": members}


def ready(**more: Any) -> dict[str, Any]:
    """The same, with all that the script makes."""
    state = tenant()
    state["principals"].append({"AppId": CLIENT, "ObjectId": OBJECT, "DisplayName": "acumatica-to-outlook"})
    state["groups"].append(group(GROUP, ["ann@example.com"]))
    state["scopes"].append({"Name": NAME, "RecipientFilter": f"MemberOfGroup -eq 'CN={GROUP}'"})
    state["assignments"].append({"Name": NAME, "App": OBJECT, "Role": ROLE, "CustomResourceScope": NAME})
    return state | more


def run(folder: Path, state: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """What the script said, changed and ended with."""
    assert PWSH
    given = {"ClientId": CLIENT, "ObjectId": OBJECT, "GroupName": GROUP, **arguments}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "arguments.json").write_text(json.dumps(given), encoding="utf-8")
    command = [PWSH, "-NoProfile", "-NonInteractive", "-File", str(HERE / "exchange.ps1")]
    command += [str(folder / "state.json"), str(SCRIPT), str(folder / "arguments.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@needs_pwsh
def test_on_an_empty_tenant_everything_is_made_and_proved(tmp_path: Path) -> None:
    done = run(tmp_path, tenant(), Mailboxes=["ann@example.com"])
    assert done["failure"] is None
    assert done["changes"] == [
        f"New-ServicePrincipal {CLIENT}",
        f"New-DistributionGroup {GROUP}",
        f"Add-DistributionGroupMember CN={GROUP} ann@example.com",
        f"New-ManagementScope {NAME}",
        f"New-ManagementRoleAssignment {NAME}",
    ]
    assert any("may write" in line for line in done["said"])


@needs_pwsh
def test_what_is_there_stays(tmp_path: Path) -> None:
    done = run(tmp_path, ready(), Mailboxes=["ann@example.com"])
    assert (done["changes"], done["failure"]) == ([], None)


@needs_pwsh
@pytest.mark.parametrize("state", [tenant(everything=True), ready(everything=True)], ids=["nothing there", "all there"])
def test_cmdlets_that_answer_everything_mislead_nobody(tmp_path: Path, state: dict[str, Any]) -> None:
    first = run(tmp_path, state, Mailboxes=["ann@example.com"])
    assert first["failure"] is None
    assert not [change for change in first["changes"] if "strangers" in change]
    assert (f"New-DistributionGroup {GROUP}" in first["changes"]) == (
        GROUP not in [item["Name"] for item in state["groups"]]
    )
    removed = run(tmp_path, first["state"], Remove=True)
    assert removed["changes"] == [f"Remove-ManagementRoleAssignment {NAME}", f"Remove-ManagementScope {NAME}"]
    left = run(tmp_path, removed["state"], Remove=True)
    assert left["changes"] == []
    assert any("nothing to remove" in line for line in left["said"])
    assert [item["Name"] for item in left["state"]["assignments"]] == ["other", "Mail Recipients-Admins"]


@needs_pwsh
@pytest.mark.parametrize("everything", [False, True])
def test_an_address_that_does_not_exist_is_refused_before_anything_is_changed(tmp_path: Path, *, everything: bool) -> None:
    done = run(tmp_path, tenant(everything=everything), Mailboxes=["nobody@example.com"])
    assert done["changes"] == []
    assert "There is no mailbox nobody@example.com" in done["failure"]


@needs_pwsh
def test_an_earlier_identity_s_assignment_is_told_of_and_stays(tmp_path: Path) -> None:
    stale = {
        "Name": "acumatica-to-outlook calendar-app",
        "App": OTHER_OBJECT,
        "Role": ROLE,
        "CustomResourceScope": "strangers",
    }
    state = tenant()
    state["assignments"].append(stale)
    done = run(tmp_path, state)
    assert done["failure"] is None
    assert f"New-ManagementRoleAssignment {NAME}" in done["changes"]
    assert any("acumatica-to-outlook calendar-app" in line for line in done["said"])
    removed = run(tmp_path, done["state"], Remove=True)
    assert "acumatica-to-outlook calendar-app" in [item["Name"] for item in removed["state"]["assignments"]]


@needs_pwsh
def test_a_group_of_the_wrong_kind_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    state = tenant()
    state["groups"].append(group(GROUP, [], "MailUniversalDistributionGroup"))
    done = run(tmp_path, state)
    assert (done["changes"], "security group is needed" in done["failure"]) == ([], True)


@needs_pwsh
def test_a_name_that_is_too_long_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    done = run(tmp_path, tenant(), GroupName="g" * 70)
    assert (done["changes"], "64 characters" in done["failure"]) == ([], True)


@needs_pwsh
def test_what_exchange_does_not_show_in_the_end_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, tenant(deaf=True))
    assert "the app cannot write" in done["failure"]


@needs_pwsh
def test_a_scope_of_another_group_is_corrected(tmp_path: Path) -> None:
    done = run(tmp_path, ready(), GroupName="another")
    assert f"Set-ManagementScope {NAME}" in done["changes"]
    assert done["failure"] is None


@needs_pwsh
def test_what_if_changes_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, tenant(), Mailboxes=["ann@example.com"], WhatIf=True)
    assert (done["changes"], done["failure"]) == ([], None)


@needs_pwsh
def test_check_fails_where_it_is_not_so(tmp_path: Path) -> None:
    assert "has no role" in run(tmp_path, tenant(), Check=["ann@example.com"])["failure"]
    assert run(tmp_path, ready(), Check=["ann@example.com"], CheckNot=["ceo@example.com"])["failure"] is None
    assert "bob@example.com" in run(tmp_path, ready(), Check=["bob@example.com"])["failure"]
    assert "ann@example.com" in run(tmp_path, ready(), CheckNot=["ann@example.com"])["failure"]


def test_the_script_s_assignment_fits_exchange_s_names() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert '$name = "$product $ClientId"' in text
    assert "$product = 'acumatica-to-outlook'" in text
    assert len(NAME) <= 64
