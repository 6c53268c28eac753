import { Component } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** HTTP headers, stored as a JSON list of pairs. */
export class HeadersField extends Component {
    static template = "mail_bridge.HeadersField";
    static props = { ...standardFieldProps };

    get pairs() {
        return JSON.parse(this.props.record.data[this.props.name] || "[]");
    }
}

registry.category("fields").add("mail_bridge_headers", {
    component: HeadersField,
    supportedTypes: ["text"],
});
