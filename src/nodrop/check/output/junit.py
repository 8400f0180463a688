"""Findings as JUnit XML: a suite a file, a case a finding. Pure.

A finding below ``--fail-on`` is a case that passes and has its text as output: a CI that reads
the file comes to the same verdict as the exit code.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from nodrop.check.finding import Finding, Level, at_least
from nodrop.check.output.report import Report

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    root = ElementTree.Element("testsuites", name="nodrop check")
    for file in report.files:
        found = [finding for finding in report.findings if finding.file == file]
        root.append(_suite(file, found, report.fail_on))
    if report.problems:
        root.append(_unread(report))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, "unicode")


# Private


def _suite(file: str, findings: list[Finding], fail_on: Level) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=_xml(file), errors="0")
    suite.set("tests", str(max(1, len(findings))))
    suite.set("failures", str(sum(at_least(one.level, fail_on) for one in findings)))
    for finding in findings:
        name = f"{finding.card.id} {finding.subject} line {finding.position.line}"
        case = ElementTree.SubElement(
            suite, "testcase", name=_xml(name), classname=finding.card.name, file=_xml(file)
        )
        if at_least(finding.level, fail_on):
            told = ElementTree.SubElement(
                case, "failure", type=finding.level, message=_xml(finding.message)
            )
        else:
            told = ElementTree.SubElement(case, "system-out")
        told.text = _xml(
            f"{file}:{finding.position.line}:{finding.position.column} {finding.level}\n"
            f"{finding.message}\nmend: {finding.mend}\nsee {finding.card.page}"
        )
    if not findings:
        ElementTree.SubElement(suite, "testcase", name="no findings", classname="nodrop")
    return suite


def _unread(report: Report) -> ElementTree.Element:
    count = str(len(report.problems))
    suite = ElementTree.Element(
        "testsuite", name="what can't be read", tests=count, failures="0", errors=count
    )
    for problem in report.problems:
        case = ElementTree.SubElement(suite, "testcase", name=_xml(problem), classname="nodrop")
        ElementTree.SubElement(case, "error", message=_xml(problem))
    return suite


def _xml(text: str) -> str:
    """Without the characters that XML can't hold."""
    return _NO_XML.sub("\ufffd", text)
