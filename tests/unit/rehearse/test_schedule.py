"""The mix is seeded, keeps its shares, and aims at this machine only."""

from __future__ import annotations

from itertools import islice

import pytest

from nodrop.rehearse.schedule import LoadSpec, Mix, NotLoopback, target_of


def test_the_same_seed_gives_the_same_requests() -> None:
    first, again = (list(islice(Mix(seed=3).shots(), 200)) for _ in range(2))
    assert first == again
    assert first != list(islice(Mix(seed=4).shots(), 200))


def test_shares_are_kept_and_bodies_are_unique() -> None:
    mix = Mix(post_share=0.3, slow_share=0.1, fresh_share=0.4, slow_s=0.5, post_bytes=64)
    shots = list(islice(mix.shots(), 5_000))
    posts = [shot for shot in shots if shot.method == "POST"]
    slow = [shot for shot in shots if shot.asked_s]
    assert [shot.number for shot in shots] == list(range(5_000))
    assert len(posts) == pytest.approx(1_500, rel=0.1)
    assert len(slow) == pytest.approx(500, rel=0.15)
    assert sum(shot.fresh for shot in shots) == pytest.approx(2_000, rel=0.1)
    assert len({shot.body for shot in posts}) == len(posts)
    assert {len(shot.body) for shot in posts} == {64}
    assert {shot.path for shot in slow} == {"/slow?s=0.5"}


@pytest.mark.parametrize(
    ("url", "address", "port", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080"),
        ("http://127.7.8.9/", "127.7.8.9", 80, "127.7.8.9"),
        ("http://[::1]:9", "::1", 9, "[::1]:9"),
        ("http://localhost:9", "127.0.0.1", 9, "localhost:9"),
    ],
)
def test_loopback_targets(url: str, address: str, port: int, host: str) -> None:
    target = target_of(url)
    assert (target.address, target.port, target.host) == (address, port, host)
    assert target_of(url, "hello.localhost").host == "hello.localhost"


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://example.com/",
        "http://0.0.0.0:80",
        "https://127.0.0.1/",
        "127.0.0.1:80",
        "http://[2001:db8::1]/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@192.0.2.1/",
    ],
)
def test_other_targets_are_refused(url: str) -> None:
    with pytest.raises(NotLoopback, match="the load's target"):
        target_of(url)


def test_bad_specs_are_refused() -> None:
    with pytest.raises(ValueError, match="rate is 0"):
        LoadSpec(target_of("http://127.0.0.1"), 0)
    with pytest.raises(ValueError, match="post_share is 2"):
        Mix(post_share=2)
    with pytest.raises(ValueError, match="together"):
        Mix(post_share=0.7, slow_share=0.7)
