"""When a line is called noisy, and when it is well again."""

from gatectl.drivers.noise import BABBLE_LIMIT, NOISE_LIMIT, WINDOW_NS, NoiseWatch

SECOND_NS = 1_000_000_000


def test_noise_without_a_card_is_bad_and_is_told_once() -> None:
    watch = NoiseWatch()
    assert not watch.note(NOISE_LIMIT - 1, 0, SECOND_NS)
    assert watch.note(1, 0, SECOND_NS)
    assert watch.is_bad
    assert not any(watch.note(100, 0, second * SECOND_NS) for second in range(2, 100))


def test_few_stray_bytes_over_hours_are_not_bad() -> None:
    watch = NoiseWatch()
    assert not any(watch.note(5, 0, second * SECOND_NS) for second in range(1, 4000))


def test_some_noise_among_cards_is_not_bad_but_a_babbling_line_is() -> None:
    watch = NoiseWatch()
    assert not watch.note(NOISE_LIMIT * 2, 3, SECOND_NS)
    assert watch.note(BABBLE_LIMIT, 3, SECOND_NS)


def test_well_again_takes_a_card_and_an_end_of_the_noise() -> None:
    watch = NoiseWatch()
    watch.note(BABBLE_LIMIT, 0, SECOND_NS)
    assert not watch.note(0, 1, 2 * SECOND_NS)
    assert not watch.note(0, 0, 3 * SECOND_NS)
    assert watch.note(0, 0, 2 * WINDOW_NS)
    assert not watch.is_bad


def test_silence_alone_does_not_prove_a_line_well() -> None:
    watch = NoiseWatch()
    watch.note(NOISE_LIMIT, 0, SECOND_NS)
    assert not watch.note(0, 0, 100 * SECOND_NS)
    assert watch.note(0, 1, 101 * SECOND_NS)
