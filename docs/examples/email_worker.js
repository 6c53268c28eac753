// Copyright Mail Bridge contributors
// License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
//
// A Cloudflare Email Worker that hands every mail to Mail Bridge. Variables of the
// Worker: MAILGATE_URL (the account's address), MAILGATE_SECRET (whsec_…, a secret).
// A post that is not stored throws, so the sending mail server keeps the mail and
// repeats it: nothing is lost while Odoo is away, or while a variable is wrong.

const TOO_LARGE = 413;

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

// One character a byte, as headers take them; an address may hold more than ASCII.
function asHeader(text) {
    return String.fromCharCode(...new TextEncoder().encode(text));
}

function joined(text, mail) {
    const head = new TextEncoder().encode(text);
    const all = new Uint8Array(head.length + mail.length);
    all.set(head);
    all.set(mail, head.length);
    return all;
}

// The id is made of mail and envelope, so that a repetition is known as one.
async function idOf(message, mail) {
    const named = joined(`${message.from} ${message.to}\n`, mail);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", named));
    const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0"));
    return `msg_${hex.join("").slice(0, 32)}`;
}

async function signature(secret, id, mail) {
    const stamp = String(Math.floor(Date.now() / 1000));
    const key = await crypto.subtle.importKey(
        "raw",
        bytesOf(secret.replace(/^whsec_/, "")),
        { name: "HMAC", hash: "SHA-256" },
        false,
        ["sign"]
    );
    const signed = joined(`${id}.${stamp}.`, mail);
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
            "X-Envelope-From": asHeader(message.from),
            "X-Envelope-To": asHeader(message.to),
        };
        if (env.MAILGATE_SECRET) {
            const id = await idOf(message, mail);
            Object.assign(headers, await signature(env.MAILGATE_SECRET, id, mail));
        }
        const answer = await fetch(env.MAILGATE_URL, {
            method: "POST",
            headers,
            body: mail,
            // What another page answers says nothing about the mail.
            redirect: "manual",
        });
        if (answer.status === TOO_LARGE) {
            message.setReject(`Too large (${answer.status})`);
        } else if (answer.status !== 200 || (await answer.text()).trim() !== "OK") {
            // Any web page can say 200; Mail Bridge says OK as well.
            throw new Error(`Not stored: the answer was ${answer.status}`);
        }
    },
};
