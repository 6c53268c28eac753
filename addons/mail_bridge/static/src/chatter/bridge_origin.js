import { Component, onWillStart, useState } from "@odoo/owl";

import { Message } from "@mail/core/common/message";
import { _t } from "@web/core/l10n/translation";
import { user } from "@web/core/user";
import { useService } from "@web/core/utils/hooks";

const TRUST = {
    verified: { icon: "fa-check-circle text-success", label: _t("verified sender") },
    token: { icon: "fa-check-circle text-success", label: _t("reply address of ours") },
    unverified: { icon: "fa-question-circle text-warning", label: _t("unverified sender") },
    released: { icon: "fa-user text-info", label: _t("released by a person") },
};

/** One line under a message's header: which account it came through, who vouches. */
export class BridgeOrigin extends Component {
    static template = "mail_bridge.BridgeOrigin";
    static props = { message: Object };

    setup() {
        this.action = useService("action");
        this.state = useState({ mayOpen: false });
        onWillStart(() => {
            // not awaited: a chatter never waits for a link in small print
            user.hasGroup("mail_bridge.group_user").then((mayOpen) => {
                this.state.mayOpen = mayOpen;
            });
        });
    }

    get trust() {
        return TRUST[this.props.message.bridge_trust];
    }

    open() {
        this.action.doAction({
            type: "ir.actions.act_window",
            res_model: "mail.bridge.message",
            res_id: this.props.message.bridge_message_ref,
            views: [[false, "form"]],
        });
    }
}

Object.assign(Message.components, { BridgeOrigin });
