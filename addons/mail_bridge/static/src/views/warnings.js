import { Component, onWillStart, useState } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { KanbanRenderer } from "@web/views/kanban/kanban_renderer";
import { kanbanView } from "@web/views/kanban/kanban_view";
import { ListRenderer } from "@web/views/list/list_renderer";
import { listView } from "@web/views/list/list_view";

/** What an administrator must mend before mail is safe, above every Mail Bridge view. */
export class BridgeWarnings extends Component {
    static template = "mail_bridge.Warnings";
    static props = {};

    setup() {
        const orm = useService("orm");
        this.state = useState({ warnings: [] });
        onWillStart(() => {
            // not awaited: the view itself does not depend on it
            orm.call("mail.bridge.account", "health_warnings", []).then((warnings) => {
                this.state.warnings = warnings;
            });
        });
    }
}

export class BridgeListRenderer extends ListRenderer {
    static template = "mail_bridge.ListRenderer";
    static components = { ...ListRenderer.components, BridgeWarnings };
}

export class BridgeKanbanRenderer extends KanbanRenderer {
    static template = "mail_bridge.KanbanRenderer";
    static components = { ...KanbanRenderer.components, BridgeWarnings };
}

registry.category("views").add("mail_bridge_list", {
    ...listView,
    Renderer: BridgeListRenderer,
});
registry.category("views").add("mail_bridge_kanban", {
    ...kanbanView,
    Renderer: BridgeKanbanRenderer,
});
