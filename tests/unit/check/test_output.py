"""What programs read: SARIF 2.1.0, GitHub's commands, JUnit, JSON; and what people read."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import Level
from nodrop.check.judge import judge
from nodrop.check.output import FORMATS
from nodrop.check.output.report import Report
from nodrop.check.output.text import render
from nodrop.check.settings import Settings
from nodrop.check.source import read_text

TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGradePeriodSeconds: 60
      containers:
        - name: "a,b: 100%"
          image: web:1
          ports: [{name: http, containerPort: 80}]
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          readinessProbe: {httpGet: {port: http}}
"""


@pytest.fixture
def report() -> Report:
    documents = list(read_text(TEXT, file="a dir/app.yaml", folder=Path()))
    findings = judge(documents, Settings())
    assert [one.card.id for one in findings] == ["ND101", "ND605", "ND701"]
    return Report(findings, ("a dir/app.yaml", "fine.yaml"), ("x.yaml: not valid YAML: \x01",))


def test_sarif_has_what_version_2_1_0_asks_for(report: Report) -> None:
    """The required properties of the standard (sections 3.13, 3.14, 3.19, 3.27, 3.30)."""
    log = json.loads(FORMATS["sarif"](report))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "nodrop check"
    assert [rule["id"] for rule in rules] == ["ND101", "ND605", "ND701"]
    assert all(rule["shortDescription"]["text"] for rule in rules)
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert [one["level"] for one in run["results"]] == ["error", "note", "error"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"].endswith(".")
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "a%20dir/app.yaml"
        region = place["region"]
        assert 1 <= region["startLine"] <= region["endLine"] <= TEXT.count("\n") + 1
        assert region["startColumn"] >= 1
        assert (region["endLine"], region["endColumn"]) >= (
            region["startLine"],
            region["startColumn"],
        )
    prints = [one["partialFingerprints"]["place/v1"] for one in run["results"]]
    assert len(set(prints)) == 3


def test_github_annotations_stand_on_one_line_each_and_are_escaped(report: Report) -> None:
    *lines, summary = FORMATS["github"](report).splitlines()
    assert summary == "3 findings (2 errors, 1 info) in 2 files"
    assert [line.split(" ")[0] for line in lines[:3]] == ["::error", "::notice", "::error"]
    for line in lines[:3]:
        properties, _, message = line.partition(" ")[2].partition("::")
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        assert pairs["file"] == "a dir/app.yaml"
        assert int(pairs["line"]) >= 1
        assert "%0Amend: " in message
    assert lines[3] == "::error::x.yaml: not valid YAML: \x01"


def test_junit_counts_add_up_and_it_is_xml_whatever_a_file_holds(report: Report) -> None:
    root = ElementTree.fromstring(FORMATS["junit"](report))
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"a dir/app.yaml", "fine.yaml", "what can't be read"}
    for suite in suites.values():
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
    failures = suites["a dir/app.yaml"].findall("testcase/failure")
    assert [failure.get("type") for failure in failures] == ["error", "error"]


@pytest.mark.parametrize(("fail_on", "failed"), [("info", 3), ("warning", 2), ("error", 2)])
def test_junit_fails_by_what_the_exit_code_fails_by(
    report: Report, fail_on: Level, failed: int
) -> None:
    (suite, *_) = ElementTree.fromstring(FORMATS["junit"](replace(report, fail_on=fail_on)))
    assert len(suite.findall("testcase/failure")) == failed
    outputs = [one.text or "" for one in suite.findall("testcase/system-out")]
    assert len(outputs) == 3 - failed
    assert all(" info\n" in text and "mend: " in text for text in outputs)


def test_json_gives_each_finding_its_place_and_mend(report: Report) -> None:
    told = json.loads(FORMATS["json"](report))
    assert told["summary"] == {"files": 2, "error": 2, "warning": 0, "info": 1}
    assert told["problems"] == list(report.problems)
    last = told["findings"][-1]
    assert (last["rule"], last["line"], last["column"]) == ("ND701", 11, 7)
    assert last["path"] == "spec.template.spec.terminationGradePeriodSeconds"
    assert last["object"] == {"kind": "Deployment", "namespace": "default", "name": "web"}
    assert last["mend"] == 'write "terminationGracePeriodSeconds"'
    assert last["page"] == CATALOGUE["ND701"].page
    assert last["fixable"] is True


def test_people_see_the_line_with_a_mark_under_it(report: Report) -> None:
    """S15: a misspelt field is shown with the right name beside it."""
    text = render(report)
    assert re.search(r"11 \|       terminationGradePeriodSeconds: 60\n +\| {7}\^{29}\n", text), text
    assert 'mend: write "terminationGracePeriodSeconds"' in text
    assert text.endswith("3 findings (2 errors, 1 info) in 2 files; --fix can mend 2")


def test_no_findings_are_said_too() -> None:
    assert render(Report((), ("a.yaml",))) == "no findings in 1 file"
