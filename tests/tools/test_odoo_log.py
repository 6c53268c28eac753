from tools import odoo_log

LINE = "2026-11-20 17:00:00,000 42 {level} test odoo.addons.x: {text}\n"


def _log(*pairs):
    return "".join(LINE.format(level=level, text=text) for level, text in pairs)


def test_lines_nobody_expected_are_found():
    text = _log(("INFO", "fine"), ("WARNING", "hm"), ("ERROR", "no\nTraceback: y"))
    assert odoo_log.unexpected(text, "18.0") == [
        "WARNING odoo.addons.x: hm",
        "ERROR odoo.addons.x: no\nTraceback: y",
    ]


def test_expected_lines_pass_by_their_whole_record():
    text = _log(("ERROR", "no\nTraceback (most recent call last):\nKeyError: 'a'"))
    assert odoo_log.unexpected(text, "18.0", [r"ERROR odoo\.addons\.x.*KeyError"]) == []


def test_counts_come_from_the_closing_line():
    text = _log(("ERROR", "1 failed, 2 error(s) of 40 tests when loading database 'x'"))
    assert odoo_log.test_counts(text) == (37, 3)
    assert odoo_log.test_counts("") == (0, 0)
