# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the README tells people to press, open or set is there under that name."""

import re

import pytest

from tools.paths import ROOT

ADDONS = ROOT / "addons"
README = (ROOT / "README.md").read_text()
#: In italics, but no name: emphasis, and answers at the door.
EMPHASIS = {"not", "try again"}


def _shown() -> set[str]:
    """Every text of a view, a menu or a field, lower case."""
    texts: set[str] = set()
    for path in ADDONS.rglob("*.xml"):
        found = re.findall(
            r'(?:string|name|title)="([^"]+)"|>([^<>]+)<', path.read_text()
        )
        texts.update(
            text.strip().rstrip("…").lower() for pair in found for text in pair if text
        )
    for path in ADDONS.rglob("models/*.py"):
        found = re.findall(r'string="([^"]+)"|[\(,] ?"([A-Z][^"]+)"', path.read_text())
        texts.update(text.lower() for pair in found for text in pair if text)
    return texts


def _named() -> list[str]:
    """Every name in italics or bold after a verb; of a path, each of its steps."""
    plain = re.sub(r"```.*?```|`[^`]*`", "", README, flags=re.DOTALL)
    italics = re.findall(r"(?<!\*)\*([A-Za-z][^*]+?)\*(?!\*)", plain)
    pressed = re.findall(r"(?:press|open|Settings →)\s+\*\*([^*]+)\*\*", plain)
    steps = [step for name in (*italics, *pressed) for step in name.split("→")]
    names = {" ".join(step.split()).rstrip(".…") for step in steps}
    return sorted(name for name in names if name not in EMPHASIS)


@pytest.mark.parametrize("name", _named())
def test_name_is_shown_somewhere(name):
    assert name.lower() in _shown()


def test_enough_names_are_looked_for():
    assert {"Send a Test Mail", "Requests", "Try Again"} <= set(_named())


def test_variables_are_made_of_a_field_that_exists():
    secrets = {
        field.upper()
        for path in ADDONS.rglob("models/mail_bridge_account.py")
        for field in re.findall(r"(\w+) = secret_field\(", path.read_text())
    }
    examples = re.findall(r"`MAIL_BRIDGE_([A-Z0-9]+)_([A-Z0-9_]+)`", README)
    assert examples
    for reference, field in examples:
        assert field in secrets
        # the catalogue's row of a provider has the provider's code as its reference
        assert field.startswith(f"{reference}_")


def test_the_reference_in_variables_stands_on_the_form():
    view = ADDONS / "mail_bridge" / "views" / "mail_bridge_account_views.xml"
    form = view.read_text().partition("<list")[0]
    assert '<field name="reference"' in form
