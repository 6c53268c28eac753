# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Figures from statistics books, so that nobody has to believe ours."""

import pytest

from odoo.addons.mail_relay.experiments import Rate, best, p_value, variant_of, wilson


def test_a_place_never_changes_and_is_even():
    seen = [variant_of("seed", f"n{n}@x.example", 0.5, 4) for n in range(8000)]
    assert seen == [variant_of("seed", f"n{n}@x.example", 0.5, 4) for n in range(8000)]
    assert all(abs(seen.count(number) - 1000) < 120 for number in range(4))
    assert abs(seen.count(None) - 4000) < 200
    other = [variant_of("other", f"n{n}@x.example", 0.5, 4) for n in range(8000)]
    assert other != seen


def test_a_sample_of_all_leaves_nobody_waiting():
    seen = {variant_of("seed", f"n{n}@x.example", 1.0, 2) for n in range(500)}
    assert seen == {0, 1}


@pytest.mark.parametrize(
    ("rate", "low", "high"),
    [
        # Newcombe 1998, table I, method 3
        (Rate(81, 263), 0.2553, 0.3662),
        (Rate(15, 148), 0.0624, 0.1605),
        (Rate(0, 20), 0.0, 0.1611),
        (Rate(1, 29), 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(rate, low, high):
    assert wilson(rate) == pytest.approx((low, high), abs=0.0001)


def test_the_z_test_of_two_proportions():
    # 15 % against 20 % of 1000 each: z = 2.9424, p = 0.00326
    assert p_value(Rate(150, 1000), Rate(200, 1000)) == pytest.approx(0.00326, abs=2e-5)
    assert p_value(Rate(10, 100), Rate(10, 100)) == pytest.approx(1.0)
    assert p_value(Rate(0, 0), Rate(5, 10)) == 1.0
    assert p_value(Rate(0, 10), Rate(0, 10)) == 1.0


def test_the_best_is_named_and_more_variants_need_more_proof():
    two = best([Rate(150, 1000), Rate(200, 1000)])
    assert two[0] == 1
    four = best([Rate(150, 1000), Rate(200, 1000), Rate(100, 1000), Rate(90, 1000)])
    assert four[0] == 1
    assert four[1] == pytest.approx(3 * two[1])
    assert best([Rate(5, 10), Rate(5, 10)])[0] == 0
