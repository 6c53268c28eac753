import { Component } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { humanSize } from "../mail/human_size";

/** A number of bytes as people read it. */
export class SizeField extends Component {
    static template = "mail_bridge.SizeField";
    static props = { ...standardFieldProps };

    get size() {
        return humanSize(this.props.record.data[this.props.name]);
    }
}

registry.category("fields").add("mail_bridge_size", {
    component: SizeField,
    supportedTypes: ["integer"],
});
