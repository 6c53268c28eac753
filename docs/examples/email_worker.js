// Copyright Mail Bridge contributors
// License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
//
// A Cloudflare Email Worker that hands every mail to Mail Bridge. Variables of the
// Worker: MAILGATE_URL (the account's address), MAILGATE_SECRET (whsec_…, a secret).
// A post that is not accepted throws, so the sending mail server keeps the mail and
// repeats it: nothing is lost while Odoo is away.

const REFUSED = new Set([403, 413]);

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

async function signature(secret, mail) {
    const id = `msg_${crypto.randomUUID().replaceAll("-", "")}`;
    const stamp = String(Math.floor(Date.now() / 1000));
    const head = new TextEncoder().encode(`${id}.${stamp}.`);
    const signed = new Uint8Array(head.length + mail.length);
    signed.set(head);
    signed.set(mail, head.length);
    const key = await crypto.subtle.importKey(
        "raw",
        bytesOf(secret.replace(/^whsec_/, "")),
        { name: "HMAC", hash: "SHA-256" },
        false,
        ["sign"]
    );
    const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, signed));
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": `v1,${btoa(String.fromCharCode(...digest))}`,
    };
}

export default {
    async email(message, env) {
        const mail = new Uint8Array(await new Response(message.raw).arrayBuffer());
        const headers = {
            "Content-Type": "message/rfc822",
            "X-Envelope-From": message.from,
            "X-Envelope-To": message.to,
            ...(env.MAILGATE_SECRET ? await signature(env.MAILGATE_SECRET, mail) : {}),
        };
        const answer = await fetch(env.MAILGATE_URL, {
            method: "POST",
            headers,
            body: mail,
        });
        if (REFUSED.has(answer.status)) {
            message.setReject(`Refused (${answer.status})`);
        } else if (!answer.ok) {
            throw new Error(`Mail Bridge answered ${answer.status}`);
        }
    },
};
