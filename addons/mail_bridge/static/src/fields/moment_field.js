import { Component } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

const { DateTime } = luxon;

/** A moment as mail programs show it: the time today, else the day. */
export class MomentField extends Component {
    static template = "mail_bridge.MomentField";
    static props = { ...standardFieldProps };

    get value() {
        return this.props.record.data[this.props.name];
    }

    get short() {
        const now = DateTime.local();
        if (this.value.hasSame(now, "day")) {
            return this.value.toLocaleString(DateTime.TIME_SIMPLE);
        }
        const format = { month: "short", day: "numeric" };
        return this.value.toLocaleString(
            this.value.hasSame(now, "year") ? format : DateTime.DATE_SHORT
        );
    }

    get full() {
        return this.value.toLocaleString(DateTime.DATETIME_MED);
    }
}

registry.category("fields").add("mail_bridge_moment", {
    component: MomentField,
    supportedTypes: ["datetime"],
});
