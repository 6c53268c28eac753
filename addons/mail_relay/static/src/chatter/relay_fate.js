import { Component, onWillStart, toRaw, useState } from "@odoo/owl";

import { Message } from "@mail/core/common/message";
import { Message as MessageModel } from "@mail/core/common/message_model";
import { Notification } from "@mail/core/common/notification_model";
import { deserializeDateTime, formatDateTime } from "@web/core/l10n/dates";
import { _t } from "@web/core/l10n/translation";
import { user } from "@web/core/user";
import { useService } from "@web/core/utils/hooks";
import { patch } from "@web/core/utils/patch";

/** How each state of a recipient looks: on the message, in its popover, in words. */
const FATES = {
    pending: { icon: "fa fa-clock-o", status: "fa fa-hourglass-half", label: _t("Queued") },
    deferred: { icon: "fa fa-clock-o", status: "fa fa-hourglass-half", label: _t("Deferred, is tried again") },
    cancelled: { icon: "fa fa-envelope-o", status: "fa fa-trash-o", label: _t("Cancelled") },
    sent: { icon: "fa fa-paper-plane-o", status: "fa fa-paper-plane-o", label: _t("Sent") },
    delivered: { icon: "fa fa-check", status: "fa fa-check", label: _t("Delivered") },
    opened: { icon: "fa fa-envelope-open-o", status: "fa fa-envelope-open-o", label: _t("Opened") },
    clicked: { icon: "fa fa-mouse-pointer", status: "fa fa-mouse-pointer", label: _t("Clicked") },
    unsubscribed: { icon: "fa fa-bell-slash-o", status: "fa fa-bell-slash-o", label: _t("Unsubscribed") },
    complained: { icon: "fa fa-ban", status: "fa fa-ban text-danger", label: _t("Complained: marked as spam") },
    failed: { icon: "fa fa-envelope", status: "fa fa-times text-danger", label: _t("Not sent") },
    rejected: { icon: "fa fa-envelope", status: "fa fa-times text-danger", label: _t("Refused") },
    bounced: { icon: "fa fa-envelope", status: "fa fa-exclamation text-danger", label: _t("Bounced") },
};

patch(Notification.prototype, {
    get relayFate() {
        return FATES[this.relay_state];
    },
    get icon() {
        return this.relayFate ? this.relayFate.icon : super.icon;
    },
    get statusIcon() {
        return this.relayFate ? this.relayFate.status : super.statusIcon;
    },
    get statusTitle() {
        return this.relayFate ? this.relayFate.label.toString() : super.statusTitle;
    },
    /** When it came to that, as the user writes times. */
    get relayMoment() {
        return this.relay_moment ? formatDateTime(deserializeDateTime(this.relay_moment)) : "";
    },
    get relayName() {
        const person = this.persona || this.res_partner_id; // 18.0, 19.0
        return (person && person.name) || this.mail_email_address || "";
    },
});

/** The notifications of a message: 18.0 and 19.0 name them differently. */
function notificationsOf(message) {
    return message.notifications || message.notification_ids || [];
}

/** What became of a message for each recipient: state, time, reason. */
export class RelayFates extends Component {
    static template = "mail_relay.RelayFates";
    static props = { message: Object, close: { type: Function, optional: true } };

    setup() {
        this.action = useService("action");
        this.state = useState({ mayOpen: false });
        onWillStart(() => {
            // not awaited: a popover never waits for a link
            user.hasGroup("mail_bridge.group_user").then((mayOpen) => {
                this.state.mayOpen = mayOpen;
            });
        });
    }

    get notifications() {
        return notificationsOf(this.props.message).filter((item) => item.relay_state);
    }

    /** 18.0 has a dialog for that, and its icon opened it at once. */
    get mayResend() {
        const { notifications, failureNotifications } = this.props.message;
        return Boolean(notifications && failureNotifications.length);
    }

    openResend() {
        this.props.close?.();
        this.action.doAction("mail.mail_resend_message_action", {
            additionalContext: { mail_message_to_resend: this.props.message.id },
        });
    }

    openDeliveries() {
        this.props.close?.();
        this.action.doAction("mail_relay.mail_relay_recipient_message_action", {
            additionalContext: { active_id: this.props.message.id },
        });
    }
}

patch(MessageModel.prototype, {
    /**
     * What the popover shows, whichever popover it is: other addons replace it.
     * In an object, because a record binds the functions that it gives away.
     */
    get relayFates() {
        const isRelayed = notificationsOf(this).some((item) => item.relay_state);
        return isRelayed ? { Component: RelayFates } : null;
    },
});

patch(Message.prototype, {
    /** Show the reason first; 18.0 opens its dialog to send again at once. */
    onClickNotification(ev) {
        if (this.message.relayFates) {
            this.popover.open(ev.target, { message: toRaw(this.message) });
        } else {
            super.onClickNotification(ev);
        }
    },
});
