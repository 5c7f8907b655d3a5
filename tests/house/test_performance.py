"""The page of performance says what its records say, and the check in CI can fail."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import check, contest
from benchmarks.agreement import check_phis
from benchmarks.arithmetic import counted_flops, flops_of_adaptation
from benchmarks.check import Floor, complaints, read_floors
from benchmarks.page import render
from benchmarks.peers.network import plain_network
from benchmarks.report import as_figures, keep_figures, load_figures
from benchmarks.timing import Spread, in_turn, ratios

HERE = torch.backends.cpu.get_cpu_capability()
DOCS = Path(__file__).parents[2] / "docs"
RUN = {"date": "2026-01-02", "commit": "abc", "cpu": "a CPU", "cores": 2, "memory_gib": 4.0} | {
    "gpu": None,
    "torch": "2.13.0",
    "python": "3.11.7",
}


def figure(name: str, **more: Any) -> dict[str, Any]:
    return {
        "figure": name,
        "title": f"{name} of it",
        "goal": "≥ 3 ×",
        "command": f"python -m benchmarks.{name}",
        "headline": "4 ×",
        "reached": True,
        "rows": [{"E": 1, "ms": 2.5}],
    } | more


def test_the_page_of_performance_is_what_its_records_say() -> None:
    assert (DOCS / "performance.md").read_text() == render(load_figures(DOCS))


def test_a_figure_stands_in_the_table_and_with_its_rows_and_machine() -> None:
    page = render([figure("speed") | {"run": RUN}])

    assert "| speed of it | ≥ 3 × | 4 × | yes |" in page
    assert "| E | ms |\n|---|---|\n| 1 | 2.5 |" in page
    assert "a CPU, 2 cores, 4.0 GiB; torch 2.13.0" in page


def test_a_figure_that_was_not_measured_says_why() -> None:
    unmeasured = figure("speed", reached=None, rows=[], headline="not measured: no GPU")

    page = render([unmeasured | {"run": RUN}])

    assert "| speed of it | ≥ 3 × | not measured: no GPU | – |" in page


def test_a_new_record_takes_the_place_of_the_older_one_and_others_stay(tmp_path: Path) -> None:
    keep_figures(tmp_path, [figure("speed"), figure("memory")], RUN)

    keep_figures(tmp_path, [figure("speed", headline="5 ×")], RUN)

    kept = [(one["figure"], one["headline"]) for one in load_figures(tmp_path)]
    assert kept == [("speed", "5 ×"), ("memory", "4 ×")]


def test_what_another_machine_measured_outlives_a_run_without_that_device(tmp_path: Path) -> None:
    keep_figures(tmp_path, [figure("gpu")], RUN)

    keep_figures(tmp_path, [figure("gpu", headline="not measured: no GPU", rows=[])], RUN)

    assert load_figures(tmp_path)[0]["headline"] == "4 ×"


def test_a_module_that_prints_more_than_json_is_named_by_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match="got 'hello"):
        as_figures("hello\n{}")


def test_a_ratio_is_taken_within_its_round() -> None:
    assert ratios([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Spread(
        median=2.0, low=2.0, high=2.0, rounds=3
    )


def test_every_contender_has_its_turn_in_every_round() -> None:
    turns: list[str] = []
    works = {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}

    times = in_turn(works, threads=[1], at_most_s=0.0, rounds=(2, 9))

    assert turns == ["a", "b", "a", "b", "b", "a"]  # the first two warm up
    assert {place: len(seconds) for place, seconds in times.items()} == {("a", 1): 2, ("b", 1): 2}


def test_a_slowed_engine_fails_the_check_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    slowed = "adapting, 1 shot, E = 32"
    fine = {name: ratios([floor.expected], [1.0]) for name, floor in read_floors(HERE).items()}

    code = check.main(lambda: fine | {slowed: ratios([1.0, 1.1, 0.9], [2.0, 2.2, 1.8])})

    assert code == 1
    assert capsys.readouterr().out.startswith(f"too slow: {slowed}: 0.50 over the plain loop")


def test_an_engine_within_the_margin_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    slightly = {name: ratios([floor.least], [0.99]) for name, floor in read_floors(HERE).items()}

    assert check.main(lambda: slightly) == 0
    assert capsys.readouterr().out == ""


def test_a_floor_without_a_measurement_is_a_complaint() -> None:
    (line,) = complaints({}, {"gone": Floor(expected=2.0, margin=0.3)})

    assert line.startswith("gone: not measured")


@pytest.mark.parametrize("cpu", ["AVX2", "AVX512", "another"])
def test_every_floor_belongs_to_a_ratio_that_is_measured(cpu: str) -> None:
    assert set(check.pairs()) == set(read_floors(cpu))


def test_an_unknown_cpu_is_held_to_the_least_of_each() -> None:
    known = [read_floors("AVX2"), read_floors("AVX512")]

    unknown = read_floors("another")

    for name, floor in unknown.items():
        assert floor.expected == min(floors[name].expected for floors in known)


def test_the_written_count_of_operations_is_torchs_own() -> None:
    theta = contest.shared_checkpoint(torch.device("cpu")).meta.theta
    one = contest.draw_episodes(1, shot=2, query=1)

    counted = counted_flops(plain_network(theta), one.support_x[0], one.support_y[0], steps=3)

    assert counted == flops_of_adaptation(images=10, steps=3)


def test_the_plain_torch_network_adapts_to_the_same_phi() -> None:
    exact = contest.in_float64(contest.shared_checkpoint(torch.device("cpu")))
    theta = exact.meta.theta
    episode = contest.draw_episodes(1, shot=1, query=1)
    x, y = episode.support_x.double(), episode.support_y
    network = plain_network(theta)
    steps = torch.optim.SGD(network.parameters(), lr=contest.STEP_SIZE)

    for _ in range(contest.STEPS):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(network(x[0]), y[0]).backward()
        steps.step()

    (ours,) = contest.adapt_in_a_loop(exact, x, y)()
    phi = {name: value.detach() for name, value in network.named_parameters()}
    assert contest.difference(phi, ours, theta) < 1e-8  # float64, orders of summing differ


def test_what_is_timed_against_the_loop_arrives_at_the_loops_phi() -> None:
    checkpoint = contest.shared_checkpoint(torch.device("cpu"))
    episodes = contest.draw_episodes(32, shot=1, query=1)
    pair = check.adapting_pair(checkpoint, episodes)

    check_phis(checkpoint.meta.theta, {name: work() for name, work in pair.items()})


def test_a_contender_with_other_numbers_is_not_timed() -> None:
    checkpoint = contest.shared_checkpoint(torch.device("cpu"))
    episode = contest.draw_episodes(1, shot=1, query=1)
    ours = contest.adapt_ours(checkpoint, episode.support_x, episode.support_y)()

    with pytest.raises(AssertionError, match="theirs"):
        check_phis(checkpoint.meta.theta, {contest.OURS: ours, "theirs": [checkpoint.meta.theta]})
