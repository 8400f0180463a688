"""Warnings hold what a client named its fields: any character, and thousands of them."""

from __future__ import annotations

from nodrop.apiserver.warning_headers import warning_headers


def test_each_is_told_once_quoted_and_without_control_characters() -> None:
    warnings = ['unknown field "a\r\nb\x00"', "ä\\", "ä\\", "\ud800"]
    assert list(warning_headers(warnings)) == [
        '299 - "unknown field \\"a  b \\""',
        '299 - "ä\\\\"',
        '299 - " "',
    ]


def test_many_are_cut_as_upstream_cuts_them() -> None:
    few = [f"{number:0300}" for number in range(13)]  # 3,900 characters
    assert [len(text) for text in warning_headers(few)] == [len('299 - ""') + 300] * 13
    many = [f"{number:<300}" for number in range(5000)]
    assert [len(text) for text in warning_headers(many)] == [len('299 - ""') + 256] * 16


def test_they_are_fewer_than_the_headers_that_python_clients_take() -> None:
    assert len(list(warning_headers(str(number) for number in range(5000)))) == 64
