import { Component, onWillStart, onWillUpdateProps, useState } from "@odoo/owl";

import { deserializeDateTime, formatDateTime } from "@web/core/l10n/dates";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

/** Every attempt and every event of an outgoing mail, the latest first. */
export class TimelineWidget extends Component {
    static template = "mail_relay.TimelineWidget";
    static props = { ...standardWidgetProps };

    setup() {
        this.orm = useService("orm");
        this.state = useState({ entries: [], more: false });
        onWillStart(() => this.load(this.props.record.resId));
        // the record is another one, or was read anew after a button
        onWillUpdateProps((props) => this.load(props.record.resId));
    }

    async load(resId) {
        const timeline = resId
            ? await this.orm.call("mail.relay.message", "read_timeline", [[resId]])
            : { entries: [], more: false };
        Object.assign(this.state, timeline);
    }

    when(entry) {
        return formatDateTime(deserializeDateTime(entry.at));
    }
}

registry.category("view_widgets").add("mail_relay_timeline", { component: TimelineWidget });
