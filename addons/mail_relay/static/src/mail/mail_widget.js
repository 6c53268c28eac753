import { registry } from "@web/core/registry";
import { MailWidget } from "@mail_bridge/mail/mail_widget";

/** An outgoing mail as it is sent. */
export class RelayMailWidget extends MailWidget {
    static model = "mail.relay.message";
    static path = "/mail_relay/message";
}

registry.category("view_widgets").add("mail_relay_mail", { component: RelayMailWidget });
