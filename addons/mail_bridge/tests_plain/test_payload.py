# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The JSON reader: strict, bounded, and a digest that order does not change."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.exceptions import PayloadError
from odoo.addons.mail_bridge.providers.payload import (
    content_digest,
    read_json,
    read_object,
    read_pairs,
    reduce_json,
)
from odoo.addons.mail_bridge.tests_plain.contract import memory_mapped

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


class TestReading:
    @given(st.dictionaries(st.text(max_size=4), values, max_size=4))
    def test_objects_come_back(self, value):
        assert read_object(json.dumps(value).encode()) == value

    @given(st.binary(max_size=60) | st.text('[]{}",:\\u0aN1 ').map(str.encode))
    def test_any_bytes_are_an_object_or_an_error(self, body):
        with suppress(PayloadError):
            assert isinstance(read_object(body), dict)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b'"x"',
            b"null",
            b"{",
            b'{"a": 1} x',
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": 1, "a": 2}',
            b'{"x": {"a": 1, "a": 1}}',
            b'{"a": "\xff"}',
            b'{"a": ' + b"9" * 5000 + b"}",
            b'{"a":' * 60 + b"1" + b"}" * 60,
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"a":' * 100_000,
        ],
    )
    def test_what_no_provider_writes_is_refused(self, body):
        with pytest.raises(PayloadError) as caught:
            read_object(body)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_depth_within_reason(self):
        body = b'{"a":' * 49 + b"1" + b"}" * 49
        assert read_object(body)["a"]["a"]

    def test_memory_mapped(self):
        assert read_object(memory_mapped(b'{"a": 1}')) == {"a": 1}

    def test_half_characters_are_read(self):
        assert read_object(b'{"a": "\\ud800"}') == {"a": "\ud800"}

    def test_pairs_keep_repetition(self):
        text = '{"": "attachment-1", "": "attachment-2", "<a>": "attachment-3"}'
        assert read_pairs(text) == [
            ("", "attachment-1"),
            ("", "attachment-2"),
            ("<a>", "attachment-3"),
        ]

    @pytest.mark.parametrize(
        "text", ["", "[]", "null", "{", "1", '{"a": NaN}', "[" * 10**5]
    )
    def test_pairs_of_something_else(self, text):
        with pytest.raises(PayloadError):
            read_pairs(text)


class TestDigest:
    @given(values)
    def test_writing_it_otherwise_changes_nothing(self, value):
        text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)
        again = read_json(text.encode("utf-8", "surrogatepass"))
        assert content_digest(again) == content_digest(value)

    @given(values, values)
    def test_other_values_have_other_digests(self, one, other):
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
        assert (content_digest(one) == content_digest(other)) == same

    def test_borders_count(self):
        assert content_digest(["ab", "c"]) != content_digest(["a", "bc"])
        assert content_digest([[1], 2]) != content_digest([[1, 2]])
        assert content_digest("1") != content_digest(1)

    def test_skipped_keys(self):
        skip = frozenset({"x"})
        assert content_digest({"a": 1, "x": 2}, skip) == content_digest({"a": 1})
        assert content_digest({"a": {"x": 1}}, skip) != content_digest({"a": {}}, skip)


class TestReducing:
    @given(st.dictionaries(st.text(max_size=4), values, max_size=4))
    def test_a_small_object_stays(self, value):
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert reduce_json(body, 1000, 10**6) == body

    @given(
        st.text(st.sampled_from('ab"\\\u00fc\U0001f600\n/'), max_size=80), st.booleans()
    )
    def test_a_long_string_is_cut_between_characters(self, text, ascii_only):
        data = {"a": text, "b": [text, 1], "c": "end"}
        body = json.dumps(data, ensure_ascii=ascii_only).encode()
        kept = json.loads(reduce_json(body, 20, 10**6))
        for found in (kept["a"], kept["b"][0]):
            assert text.startswith(found.encode("utf-8", "ignore").decode())
            assert len(found) <= 20
        assert kept["c"] == "end" and kept["b"][1] == 1

    @given(st.binary(max_size=80))
    def test_any_bytes(self, body):
        assert len(reduce_json(body, 10, 50)) <= 80

    def test_many_long_strings_stay_an_object(self):
        data = {"text": "t" * 200_000, "files": [{"c": "A" * 10**6} for _ in range(20)]}
        kept = reduce_json(memory_mapped(json.dumps(data).encode()), 65536, 2**20)
        assert len(kept) < 2**20
        found = json.loads(kept)
        assert found["text"] == "t" * 65536
        assert len(found["files"]) == 20

    @pytest.mark.parametrize(
        "body",
        [
            b'{"a": "' + b'\\"' * 20_000_000 + b'"}',
            b'{"a": "' + b"\\" * 40_000_000,
            b'{"a": "' + b"x" * 40_000_000,
            b'"' * 40_000_000,
            b"[" * 40_000_000,
        ],
        ids=["quotes", "backslashes", "open", "empty", "brackets"],
    )
    def test_a_hostile_body_costs_little(self, body):
        start = time.process_time()
        assert len(reduce_json(body, 65536, 2**20)) <= 2**20 + 100
        assert time.process_time() - start < 2
