import { Component, onWillStart, onWillUpdateProps, useState } from "@odoo/owl";

import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";
import { humanSize } from "./human_size";

const ICONS = [
    [/^image\//, "fa-file-image-o"],
    [/pdf$/, "fa-file-pdf-o"],
    [/zip|compressed/, "fa-file-archive-o"],
    [/sheet|excel|csv/, "fa-file-excel-o"],
    [/word|document/, "fa-file-word-o"],
    [/^text\//, "fa-file-text-o"],
    [/^message\//, "fa-envelope-o"],
];

/**
 * The mail as its sender made it: a sandboxed frame, and what is attached.
 *
 * For the mails of another model, a widget must name the model, whose `read_content`
 * is asked, and the path of its routes.
 */
export class MailWidget extends Component {
    static template = "mail_bridge.MailWidget";
    static model = "mail.bridge.message";
    static path = "/mail_bridge/message";
    static props = { ...standardWidgetProps };

    setup() {
        this.orm = useService("orm");
        this.state = useState({ content: null, images: false, text: false });
        onWillStart(() => this.load(this.props.record.resId));
        onWillUpdateProps((props) => {
            if (props.record.resId !== this.loadedId) {
                return this.load(props.record.resId);
            }
        });
    }

    async load(resId) {
        this.loadedId = resId;
        this.state.images = false;
        this.state.text = false;
        this.state.content = resId
            ? await this.orm.call(this.constructor.model, "read_content", [[resId]])
            : null;
    }

    get url() {
        return `${this.constructor.path}/${this.loadedId}`;
    }

    get frameUrl() {
        const options = new URLSearchParams();
        if (this.state.images) {
            options.set("images", "1");
        }
        if (this.state.text) {
            options.set("text", "1");
        }
        return `${this.url}/view?${options}`;
    }

    /** The frame runs no script and cannot tell its height; a short text can. */
    get frameStyle() {
        const content = this.state.content;
        if (content.has_html && !this.state.text) {
            return "height: 60vh";
        }
        return `height: min(${content.text_lines * 21 + 40}px, 60vh)`;
    }

    icon(attachment) {
        const known = ICONS.find(([pattern]) => pattern.test(attachment.type));
        return known ? known[1] : "fa-file-o";
    }

    size(attachment) {
        return humanSize(attachment.size);
    }
}

registry.category("view_widgets").add("mail_bridge_mail", { component: MailWidget });
