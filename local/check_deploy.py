"""Checks of what is deployed, by tools that others make: `python -m local.check_deploy`.

Kusto's own parser over every query; zizmor over the workflows; azure-functions-doctor over the app; checkov over infra/;
a parser of PowerShell over the script. Each tool is pinned, and installed for itself under .local/checks. What cannot be
installed or run on this machine is said in a line, and is no failure; everything else that is found is one.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.deploy.bicep import Bicep, literal
from tests.deploy.monitor import charts, rules

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".local/checks"
ZIZMOR, DOCTOR, CHECKOV = "zizmor==1.32.0", "azure-functions-doctor==0.23.1", "checkov==3.3.30"
POWERSHELL = ("tree-sitter==0.26.1", "tree-sitter-powershell==0.26.4")
BICEP = "the Bicep compiler, linter and formatter (jobs `bicep` of .github/workflows/ci.yml)"
# What azure-functions-doctor warns of, and why it may: title of its check, reason.
WARNINGS = {
    "Application Insights configuration": "set in infra/main.bicep",
    "Azure Functions Core Tools (func)": "not needed: local/host runs the app",
    "Azure Functions Core Tools version": "the same",
    "Binding connection resolution": "infra/main.bicep sets AzureWebJobsStorage__accountName and its like",
    "Dev-storage emulator connection": "in local.settings.template.json, which is not deployed",
    "Detect unused or invalid files": ".funcignore keeps them out; tests/deploy/test_package.py",
    "Native dependency risk": "Azure builds the package (remoteBuild in azure.yaml)",
    "Virtual environment": "of the machine that checks",
    "local.settings.json": "made from the template by whoever develops",
}
READS_POWERSHELL = """
import sys, tree_sitter, tree_sitter_powershell
parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
def wrong(node):
    found = [f"{node.start_point[0] + 1}: {node.text[:60]!r}"] if node.type == "ERROR" or node.is_missing else []
    return found + [text for child in node.children for text in wrong(child)]
found = wrong(parser.parse(open(sys.argv[1], "rb").read()).root_node)
print(*found, sep="\\n")
sys.exit(bool(found))
"""


class NotHere(Exception):
    """A tool cannot be had on this machine; says why."""


def main() -> int:
    """Run all; returns the exit status."""
    failed = []
    for check in (kql, workflows, app, infrastructure, script):
        name = (check.__doc__ or "").strip().rstrip(".")
        print(f"-- {name}", flush=True)
        try:
            if not check():
                failed.append(name)
        except NotHere as error:
            print(f"NOT CHECKED: {error}")
    print(f"NOT CHECKED: {BICEP} need a download that is no package.")
    if not shutil.which("pwsh"):
        print("NOT CHECKED: mailbox-access.ps1 was not run (tests/deploy/test_mailbox_access.py), there is no pwsh here.")
    print(f"Wrong: {'; '.join(failed)}" if failed else "All that could be checked is right.")
    return 1 if failed else 0


def kql() -> bool:
    """Every KQL query, by Kusto's own parser."""
    folder = ROOT / "local/kusto"
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise NotHere("KQL by Kusto's own parser: there is no node here.")
    if not (folder / "node_modules").is_dir() and run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder):
        raise NotHere("KQL by Kusto's own parser: npm could not install it.")
    return not run([node, "check.js"], folder, text=json.dumps(queries()))


def queries() -> dict[str, str]:
    """All queries by name: of the alerts, of the workbook, and those in the documentation."""
    found = {f"queries/{name}.kql": rule.query for name, rule in rules().items()}
    found |= {f"workbook.json, {title}": query for title, query in charts().items()}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8").replace("\\|", "|")
        blocks = re.findall(r"```kusto\n(.*?)```", text, re.DOTALL) + re.findall(r"`(traces \|[^`]*)`", text)
        found |= {f"{page.name}, {number}": block for number, block in enumerate(blocks, 1)}
    return found


def workflows() -> bool:
    """The workflows, by zizmor."""
    return not run([tool(ZIZMOR), "--offline", "--quiet", "--no-progress", ".github"])


def app() -> bool:
    """The app, by azure-functions-doctor."""
    report = TOOLS / "doctor.json"
    run([tool(DOCTOR), "doctor", "--hosting-plan", "flex-consumption", "--format", "json", "--output", str(report)])
    found = [item for group in json.loads(report.read_text(encoding="utf-8"))["results"] for item in group["items"]]
    told = [item for item in found if item["status"] not in {"pass", "skip"}]
    new = [item for item in told if item["status"] == "fail" or item["label"] not in WARNINGS]
    for item in new:
        print(f"{item['status']}: {item['label']}: {item['value']}")
    return not new


def infrastructure() -> bool:
    """The resources of infra/, by checkov."""
    python = next(
        (path for minor in (12, 11) if (path := shutil.which(f"python3.{minor}", path="/usr/bin:/usr/local/bin"))), ""
    )
    if not python:
        raise NotHere("infra/ by checkov, which wants Python 3.11 or 3.12: there is none here.")
    folder = TOOLS / "resources"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "template.json").write_text(json.dumps(template()), encoding="utf-8")
    config = ["--config-file", str(ROOT / ".checkov.yaml")]
    options = ["--framework", "arm", "--skip-download", "--compact", "--quiet", *config]
    return not run([tool(CHECKOV, python=python), "--directory", str(folder), *options])


def template() -> dict[str, Any]:
    """The resources as Azure Resource Manager knows them, with texts for what Bicep would compute."""
    resources = []
    for path in (ROOT / "infra/main.bicep", *sorted((ROOT / "infra/modules").glob("*.bicep"))):
        file = Bicep(path)
        for symbol, kind in file.resources.items():
            kept = {k: v for k, v in file.body(symbol).items() if k not in {"parent", "scope", "dependsOn"}}
            body = json.loads(json.dumps({k: literal(v) for k, v in kept.items()}).replace("${common.token}", "abc123"))
            name, _, version = kind.partition("@")
            resources.append({"type": name, "apiVersion": version, **body})
    schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    return {"$schema": schema, "contentVersion": "1.0.0.0", "resources": resources}


def script() -> bool:
    """The PowerShell script, by a parser of that language."""
    python = environment("powershell", *POWERSHELL) / "bin/python"
    return not run([str(python), "-c", READS_POWERSHELL, str(ROOT / "infra/mailbox-access.ps1")])


def tool(package: str, *, python: str = sys.executable) -> str:
    """The command of a package, installed for itself."""
    name = package.partition("==")[0]
    return str(environment(name, package, python=python) / "bin" / name)


def environment(name: str, *packages: str, python: str = sys.executable) -> Path:
    """An environment with just these packages, made at its first use, when a version changes, and when it was moved."""
    folder = TOOLS / name
    stamp, made_of = folder / "packages.txt", "\n".join([str(folder.resolve()), *packages])
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        quiet: Callable[[list[str]], int] = lambda command: run(command, quiet=True)  # noqa: E731
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        if quiet([python, "-m", "venv", str(folder)]) or quiet(pip):
            raise NotHere(f"{', '.join(packages)} could not be installed here.")
        stamp.write_text(made_of, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path = ROOT, *, text: str | None = None, quiet: bool = False) -> int:
    """Run a program, and print what it prints; returns its exit status."""
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, check=False)
    if not quiet or done.returncode:
        print((done.stdout + done.stderr).strip(), flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
