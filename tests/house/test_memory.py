"""What a process remembers ends by its own clock, at any news, and where news cannot be heard."""

from app.messages.memory import ADAPTATION_S, ADAPTATIONS, CALLER_S, CHANGED, Memory, Phi
from app.values.caller import Caller
from app.values.lasting import Lasting

MINE = Phi(tenant_id="mine", digest="d" * 64)
ME = Caller(tenant_id="mine", key_id="key_1")


class Clock:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def hearing(clock: Clock) -> Memory:
    memory = Memory(clock)
    memory.hear(hears=True)
    return memory


def test_a_key_is_remembered_for_a_second_and_an_adaptation_for_half_a_minute() -> None:
    clock = Clock()
    memory = hearing(clock)
    memory.keep_caller("k", Lasting(value=ME), memory.stamp())
    memory.keep_phi("ad_1", Lasting(value=MINE), memory.stamp())

    clock.now += CALLER_S - 0.01
    assert memory.caller("k") == ME
    clock.now += 0.02
    assert memory.caller("k") is None
    assert memory.phi("mine", "ad_1") == MINE.digest
    clock.now += ADAPTATION_S
    assert memory.phi("mine", "ad_1") is None


def test_nothing_is_remembered_past_the_end_of_its_row_counted_from_the_question() -> None:
    clock = Clock()
    memory = hearing(clock)
    stamp = memory.stamp()
    clock.now += 0.2  # the database was slow to answer
    memory.keep_caller("k", Lasting(value=ME, left_s=0.5), stamp)
    memory.keep_phi("ad_1", Lasting(value=MINE, left_s=0.5), stamp)

    clock.now += 0.29
    before = memory.caller("k"), memory.phi("mine", "ad_1")
    clock.now += 0.02
    after = memory.caller("k"), memory.phi("mine", "ad_1")

    assert before == (ME, MINE.digest)
    assert after == (None, None)


def test_what_was_read_before_news_came_is_not_remembered_after_it() -> None:
    memory = hearing(Clock())
    stamp = memory.stamp()
    memory.forget_keys()
    memory.keep_caller("", Lasting(value=ME), stamp)
    stamp = memory.stamp()
    memory.forget_phi("ad_1")
    memory.keep_phi("ad_1", Lasting(value=MINE), stamp)

    assert memory.caller("") is None
    assert memory.phi("mine", "ad_1") is None


def test_news_of_others_keeps_nothing_from_being_remembered() -> None:
    memory = hearing(Clock())
    stamp = memory.stamp()
    for number in range(5):
        memory.forget_phi(f"ad_{number}")
    memory.keep_caller("k", Lasting(value=ME), stamp)
    memory.keep_phi("ad_9", Lasting(value=MINE), stamp)

    assert memory.caller("k") == ME
    assert memory.phi("mine", "ad_9") == MINE.digest


def test_more_news_than_is_kept_counts_as_news_of_all() -> None:
    memory = hearing(Clock())
    stamp = memory.stamp()
    for number in range(CHANGED + 1):
        memory.forget_phi(f"ad_{number}")
    memory.keep_phi("ad_0", Lasting(value=MINE), stamp)

    assert memory.phi("mine", "ad_0") is None


def test_without_news_nothing_is_remembered_and_what_was_is_forgotten() -> None:
    memory = hearing(Clock())
    memory.keep_phi("ad_1", Lasting(value=MINE), memory.stamp())
    memory.keep_caller("k", Lasting(value=ME), memory.stamp())
    memory.hear(hears=False)
    lost = memory.phi("mine", "ad_1"), memory.caller("k")
    memory.keep_phi("ad_1", Lasting(value=MINE), memory.stamp())
    memory.keep_caller("k", Lasting(value=ME), memory.stamp())

    assert lost == (None, None)
    assert (memory.phi("mine", "ad_1"), memory.caller("k")) == (None, None)


def test_another_tenants_adaptation_is_not_found_by_its_id() -> None:
    memory = hearing(Clock())
    memory.keep_phi("ad_1", Lasting(value=MINE), memory.stamp())

    assert memory.phi("theirs", "ad_1") is None


def test_the_oldest_makes_room() -> None:
    memory = hearing(Clock())
    for number in range(ADAPTATIONS + 1):
        memory.keep_phi(f"ad_{number}", Lasting(value=MINE), memory.stamp())

    assert memory.phi("mine", "ad_0") is None
    assert memory.phi("mine", "ad_1") == MINE.digest
    assert memory.phi("mine", f"ad_{ADAPTATIONS}") == MINE.digest
