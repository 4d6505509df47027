"""What a broker sends waits in bounds, and what was said last is kept."""

from __future__ import annotations

from actors.gateways.mqtt.intake import QUEUE_MAX, TOPICS_MAX, WAITING_MAX_B, Intake
from actors.mqtt.message import PAYLOAD_MAX_B, arrived


def drain(intake: Intake) -> list[tuple[str, bytes]]:
    out = []
    while (message := intake.take(set())) is not None:
        out.append((message.topic, message.payload))
    return out


def test_topics_take_turns_and_each_keeps_its_order() -> None:
    intake = Intake()
    for topic, payload in (("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"4")):
        intake.put(arrived(topic, payload))
    assert drain(intake) == [("a", b"1"), ("b", b"4"), ("a", b"2"), ("a", b"3")]


def test_a_busy_topic_waits_and_others_do_not() -> None:
    intake = Intake()
    intake.put(arrived("a", b"1"))
    intake.put(arrived("b", b"2"))
    taken = intake.take({"a"})
    assert taken is not None
    assert taken.topic == "b"
    assert intake.take({"a"}) is None


def test_of_a_flood_the_newest_is_kept_and_the_rest_is_told() -> None:
    intake = Intake()
    for n in range(10_000):
        intake.put(arrived("a", b"%d" % n))
    intake.put(arrived("b", b"calm"))
    assert drain(intake)[-1] == ("a", b"9999")
    assert intake.dropped() == {"a": 10_000 - QUEUE_MAX}
    assert intake.dropped() == {}
    assert (intake.received, intake.lost) == (10_001, 10_000 - QUEUE_MAX)


def test_topics_without_number_are_bounded() -> None:
    intake = Intake()
    for n in range(3 * TOPICS_MAX):
        intake.put(arrived(f"t{n}", b""))
    assert len(drain(intake)) == TOPICS_MAX
    assert len(intake.dropped()) == TOPICS_MAX


def test_all_that_waits_together_is_bounded() -> None:
    intake = Intake()
    for n in range(200):
        intake.put(arrived(f"t{n % 40}", b"x" * PAYLOAD_MAX_B))
    assert sum(len(payload) for _, payload in drain(intake)) <= WAITING_MAX_B
    intake.put(arrived("t", b"after"))
    assert drain(intake) == [("t", b"after")]


def test_of_a_message_that_is_too_large_little_is_kept() -> None:
    huge = arrived("a", b"x" * (PAYLOAD_MAX_B + 1))
    assert huge.too_large()
    assert huge.size == PAYLOAD_MAX_B + 1
    assert len(huge.payload) < 1000
    assert not arrived("a", b"x" * PAYLOAD_MAX_B).too_large()
