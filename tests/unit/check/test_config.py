"""Settings from files: what is read, and that everything else is an error with a mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.check.config import BadConfig, find_config, read_config, settings_from
from nodrop.check.finding import CLUSTER
from nodrop.check.settings import Settings

FULL = """\
[check]
target = "cluster"
fail-on = "error"
select = ["ND1", "ND301"]
ignore = ["ND105"]
propagation-s = 8
longest-request-s = 2.5
start-up-s = 40
peak-utilisation = 0.7

[check.per-path-ignores]
"tests/*" = ["ND3"]
"""


def test_every_setting_can_stand_in_nodrop_toml(tmp_path: Path) -> None:
    file = tmp_path / "nodrop.toml"
    file.write_text(FULL)
    assert read_config(file) == Settings(
        targets=CLUSTER,
        fail_on="error",
        select=("ND1", "ND301"),
        ignore=("ND105",),
        per_path_ignores={"tests/*": ("ND3",)},
        propagation_s=8,
        longest_request_s=2.5,
        start_up_s=40,
        peak_utilisation=0.7,
    )


def test_the_nearest_file_wins_and_a_pyproject_counts_only_with_the_table(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "nodrop.toml").write_text("[check]\n")
    project = tmp_path / "a" / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n")
    assert find_config(inner) == tmp_path / "nodrop.toml"
    project.write_text("[tool.nodrop.check]\nstart-up-s = 3\n")
    assert find_config(inner) == project
    assert read_config(project).start_up_s == 3
    (inner / "nodrop.toml").write_text("")
    assert find_config(inner) == inner / "nodrop.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[check]\npropagation = 3\n", 'unknown key propagation: did you mean "propagation-s"?'),
        ("[check]\ncolour = 3\n", "unknown key colour: known are target, fail-on"),
        ("[chekc]\n", r"unknown table chekc: only \[check\] is known"),
        ('[check]\ntarget = "k3s"\n', "target: 'k3s': must be nodrop, cluster or both"),
        ('[check]\nfail-on = "never"\n', "must be error, warning or info"),
        ('[check]\nselect = "ND101"\n', "must be a list of rule ids"),
        ('[check]\nignore = ["ND999"]\n', "'ND999' is no rule"),
        ("[check]\nstart-up-s = -1\n", "must be a number of seconds"),
        ("[check]\nstart-up-s = true\n", "must be a number of seconds"),
        ("[check]\npeak-utilisation = 70\n", "must be a share between 0 and 1"),
        ("[check]\nper-path-ignores = 1\n", "must be a table"),
        ("check = 1\n", "check must be a table"),
        ("[check\n", r"nodrop.toml: "),
    ],
)
def test_what_cannot_be_meant_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "nodrop.toml"
    file.write_text(text)
    with pytest.raises(BadConfig, match=message):
        read_config(file)
    with pytest.raises(BadConfig, match="no such file"):
        read_config(tmp_path / "gone.toml")


def test_flags_go_before_the_file() -> None:
    base = settings_from({"propagation-s": 8, "start-up-s": 3}, "nodrop.toml")
    both = settings_from({"propagation-s": 9}, "option", base)
    assert (both.propagation_s, both.start_up_s) == (9, 3)


def test_groups_of_rules_are_chosen_by_their_beginning() -> None:
    settings = Settings(select=("ND1", "ND301"), ignore=("ND105",))
    assert [rule for rule in ("ND101", "ND105", "ND301", "ND302") if settings.runs(rule)] == [
        "ND101",
        "ND301",
    ]
