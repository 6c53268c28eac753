import { Component, onWillStart, onWillUnmount, useState } from "@odoo/owl";

import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";

const EVERY = 5000; // milliseconds

/** What the accounts are doing just now; asks again every few seconds. */
export class RelayGauges extends Component {
    static template = "mail_relay.Gauges";
    static props = { ...standardActionServiceProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({ accounts: [], failed: false });
        this.counts = [
            ["queued", _t("Queued"), "text-bg-info"],
            ["sending", _t("Sending"), "text-bg-info"],
            ["in_doubt", _t("In doubt"), "text-bg-warning"],
            ["held", _t("Held"), "text-bg-warning"],
            ["dead", _t("Dead"), "text-bg-danger"],
        ];
        onWillStart(() => this.load());
        onWillUnmount(() => {
            this.isGone = true;
            clearTimeout(this.timer);
        });
    }

    async load() {
        try {
            if (!document.hidden) {
                this.state.accounts = await this.orm.silent.call(
                    "mail.bridge.account",
                    "relay_gauges",
                    []
                );
            }
            this.state.failed = false;
        } catch {
            this.state.failed = true; // the server is away: shown, and asked again
        }
        if (!this.isGone) {
            this.timer = setTimeout(() => this.load(), EVERY);
        }
    }

    /** Seconds as people read them. */
    span(seconds) {
        if (seconds < 90) {
            return _t("%s s", Math.round(seconds));
        }
        if (seconds < 5400) {
            return _t("%s min", Math.round(seconds / 60));
        }
        return _t("%s h", Math.round(seconds / 3600));
    }

    open(account, state) {
        return this.action.doAction("mail_relay.mail_relay_message_action", {
            additionalContext: {
                search_default_account_id: account.id,
                search_default_state: state,
            },
        });
    }
}

registry.category("actions").add("mail_relay.gauges", RelayGauges);
