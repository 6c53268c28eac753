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
        this.state = useState({ warnings: [], undecided: 0 });
        onWillStart(() => {
            // not awaited: the view itself does not depend on it
            orm.call("mail.bridge.account", "health_warnings", []).then((warnings) => {
                this.state.warnings = warnings;
            });
            if (this.filter) {
                orm.call("mail.bridge.message", "count_undecided", []).then((count) => {
                    this.state.undecided = count;
                });
            }
        });
    }

    /** The Inbox's own filter; other views have none. */
    get filter() {
        const { resModel, searchItems } = this.env.searchModel;
        return (
            resModel === "mail.bridge.message" &&
            Object.values(searchItems).find((item) => item.name === "undecided")
        );
    }

    get isFiltered() {
        const { query } = this.env.searchModel;
        return query.some((part) => part.searchItemId === this.filter.id);
    }

    showUndecided() {
        this.env.searchModel.toggleSearchItem(this.filter.id);
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
