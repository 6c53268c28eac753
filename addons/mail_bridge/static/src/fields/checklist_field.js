import { Component } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

const ICONS = {
    done: "fa-check-circle text-success",
    todo: "fa-circle-thin text-muted",
    warning: "fa-exclamation-circle text-warning",
    fault: "fa-times-circle text-danger",
    wait: "fa-circle-o-notch fa-spin text-info",
};

/** Steps with ticks: `[{state, label, hint, time}]`, each with what to do next. */
export class ChecklistField extends Component {
    static template = "mail_bridge.ChecklistField";
    static props = { ...standardFieldProps };

    get steps() {
        return this.props.record.data[this.props.name] || [];
    }

    get open() {
        return this.steps.filter((step) => step.state !== "done").length;
    }

    icon(step) {
        return ICONS[step.state];
    }
}

export const checklistField = {
    component: ChecklistField,
    supportedTypes: ["json", "jsonb"],
};

registry.category("fields").add("mail_bridge_checklist", checklistField);
