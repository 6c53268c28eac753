# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The columns of a kanban by state."""


def in_order(result, order, folded, opening_info=None):
    """Put the columns of a kanban in the order of the work, and fold what is settled.

    :param result: what ``web_read_group`` returns; without states it stays as it is.
    :param order: all states.
    :param folded: states whose columns nobody opens every day.
    :param opening_info: 19.0: what the person opened and folded meanwhile.
    """
    groups = result["groups"]
    if not all(group.get("state") in order for group in groups):
        return result
    touched = {item["value"] for item in opening_info or ()}
    for group in groups:
        if group["state"] in folded and group["state"] not in touched:
            group["__fold"] = True  # 18.0
            group.pop("__records", None)  # 19.0
    groups.sort(key=lambda group: order.index(group["state"]))
    return result
