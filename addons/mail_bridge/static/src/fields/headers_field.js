import { Component } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** Names and values, stored as a JSON list of pairs or as an object. */
export class HeadersField extends Component {
    static template = "mail_bridge.HeadersField";
    static props = { ...standardFieldProps };

    get pairs() {
        const stored = JSON.parse(this.props.record.data[this.props.name] || "[]");
        return Array.isArray(stored) ? stored : Object.entries(stored);
    }
}

registry.category("fields").add("mail_bridge_headers", {
    component: HeadersField,
    supportedTypes: ["text"],
});
