"""What may flow through one place: current per phase and power, imported and exported.

Import and export never make up for each other: a car that gives back may stop at any moment. So
each of the four is added, compared and limited by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

from actors.energy.types import LimitsRes

CRUMB = 1e-6
"""Of floating point: sums that differ by no more are equal. Ampere or watt."""


class Amount(Struct, frozen=True, omit_defaults=True):
    """Ampere per phase and watt, none of them negative; infinite is without limit, and never travels."""

    import_A: float = 0.0
    import_W: float = 0.0
    export_A: float = 0.0
    export_W: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        if self is NOTHING:
            return other
        return Amount(
            self.import_A + other.import_A,
            self.import_W + other.import_W,
            self.export_A + other.export_A,
            self.export_W + other.export_W,
        )

    def less(self, other: Amount) -> Amount:
        """What is left after `other`; nothing rather than less than nothing."""
        if other is NOTHING:
            return self
        return Amount(
            _left(self.import_A, other.import_A),
            _left(self.import_W, other.import_W),
            _left(self.export_A, other.export_A) if self.export_A else 0.0,
            _left(self.export_W, other.export_W) if self.export_W else 0.0,
        )

    def fits(self, room: Amount) -> bool:
        """Whether it is within `room`, crumbs aside."""
        return (
            self.import_A <= room.import_A + CRUMB
            and self.import_W <= room.import_W + CRUMB
            and self.export_A <= room.export_A + CRUMB
            and self.export_W <= room.export_W + CRUMB
        )

    def where(self, other: Amount) -> Amount:
        """Its parts of which there is any in `other`; the rest is nothing."""
        return Amount(
            self.import_A if other.import_A > 0.0 else 0.0,
            self.import_W if other.import_W > 0.0 else 0.0,
            self.export_A if other.export_A > 0.0 else 0.0,
            self.export_W if other.export_W > 0.0 else 0.0,
        )

    def is_within(self, most: float) -> bool:
        """Whether each part is from 0 to `most`; what is not a number is not."""
        return (
            0.0 <= self.import_A <= most
            and 0.0 <= self.import_W <= most
            and 0.0 <= self.export_A <= most
            and 0.0 <= self.export_W <= most
        )

    def with_efficiency(self, import_factor: float, export_factor: float) -> Amount:
        """With its powers multiplied: from one side of a converter to the other."""
        if import_factor == 1.0 and export_factor == 1.0:
            return self
        return Amount(
            self.import_A, self.import_W * import_factor, self.export_A, self.export_W * export_factor
        )

    def text(self) -> str:
        """For logs: the parts that are not nothing."""
        parts = [
            f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"
            for value, unit in (
                (self.import_A, "A"),
                (self.import_W, "W"),
                (self.export_A, "A export"),
                (self.export_W, "W export"),
            )
            if value > 0.0
        ]
        return " ".join(parts) or "nothing"


NOTHING = Amount()
UNLIMITED = Amount(math.inf, math.inf, math.inf, math.inf)


def largest(one: Amount, other: Amount) -> Amount:
    """Of each part the larger; the very same object where one is that in all parts, as is mostly so."""
    if one is other or (
        one.import_A >= other.import_A
        and one.import_W >= other.import_W
        and one.export_A >= other.export_A
        and one.export_W >= other.export_W
    ):
        return one
    if (
        other.import_A >= one.import_A
        and other.import_W >= one.import_W
        and other.export_A >= one.export_A
        and other.export_W >= one.export_W
    ):
        return other
    return Amount(
        one.import_A if one.import_A >= other.import_A else other.import_A,
        one.import_W if one.import_W >= other.import_W else other.import_W,
        one.export_A if one.export_A >= other.export_A else other.export_A,
        one.export_W if one.export_W >= other.export_W else other.export_W,
    )


def smallest(one: Amount, other: Amount) -> Amount:
    """Of each part the smaller; the very same object where one is that in all parts, as is mostly so."""
    if one is other or (
        one.import_A <= other.import_A
        and one.import_W <= other.import_W
        and one.export_A <= other.export_A
        and one.export_W <= other.export_W
    ):
        return one
    if (
        other.import_A <= one.import_A
        and other.import_W <= one.import_W
        and other.export_A <= one.export_A
        and other.export_W <= one.export_W
    ):
        return other
    return Amount(
        one.import_A if one.import_A <= other.import_A else other.import_A,
        one.import_W if one.import_W <= other.import_W else other.import_W,
        one.export_A if one.export_A <= other.export_A else other.export_A,
        one.export_W if one.export_W <= other.export_W else other.export_W,
    )


def total(amounts: Iterable[Amount]) -> Amount:
    """Their sum."""
    import_A = import_W = export_A = export_W = 0.0
    for amount in amounts:
        import_A += amount.import_A
        import_W += amount.import_W
        export_A += amount.export_A
        export_W += amount.export_W
    return Amount(import_A, import_W, export_A, export_W)


def of_limits(limits: LimitsRes, voltage_V: float) -> Amount:
    """What these limits of an EVSE allow at most: a unit in which they set none follows from the other,
    with as many phases as they may be for power, and with one for current. None at all is nothing."""
    current_A = None if limits.ac_max_current_A is None else limits.ac_max_current_A.value
    power_W = None if limits.total_power_W is None else limits.total_power_W.value
    if current_A is None:
        if power_W is None:
            return NOTHING
        current_A = power_W / voltage_V
    if power_W is None:
        phases = 3 if limits.ac_max_phase_count is None else limits.ac_max_phase_count.value
        power_W = current_A * phases * voltage_V
    if current_A >= 0.0 and power_W >= 0.0:
        return Amount(current_A, power_W)
    return Amount(max(0.0, current_A), max(0.0, power_W), max(0.0, 0.0 - current_A), max(0.0, 0.0 - power_W))


def _left(of: float, taken: float) -> float:
    if of > taken:
        return of - taken
    return of if of == math.inf else 0.0
