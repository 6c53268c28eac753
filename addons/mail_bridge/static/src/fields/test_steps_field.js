import { onWillUnmount, useEffect } from "@odoo/owl";

import { registry } from "@web/core/registry";

import { ChecklistField, checklistField } from "./checklist_field";

const POLL_MILLISECONDS = 700;

/** The way of a test mail, followed until it stands or a fault is known. */
export class TestStepsField extends ChecklistField {
    static template = "mail_bridge.TestStepsField";

    setup() {
        super.setup();
        useEffect(
            (waiting) => {
                if (waiting) {
                    this.timer = setTimeout(
                        () => this.props.record.load(),
                        POLL_MILLISECONDS
                    );
                }
            },
            () => [this.waiting && this.steps]
        );
        onWillUnmount(() => clearTimeout(this.timer));
    }

    get waiting() {
        return this.steps.some((step) => step.state === "wait");
    }
}

registry.category("fields").add("mail_bridge_test_steps", {
    ...checklistField,
    component: TestStepsField,
});
