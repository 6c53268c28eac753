# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer(threading.Thread):
    """A name server on this machine.

    ``records``: (name, type) → texts as in a zone file. ``is_down``: it fails.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.records, self.is_down = {}, False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def publish(self, name, kind, *values):
        if kind == "TXT":
            values = [
                " ".join(f'"{one[at : at + 200]}"' for at in range(0, len(one), 200))
                for one in values
            ]
        else:
            values = [f"{one.rstrip('.')}." for one in values]
        self.records[name, kind] = values

    def run(self):
        while True:
            try:
                wire, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            answer = self.answer(dns.message.from_wire(wire))
            self.socket.sendto(answer.to_wire(), peer)

    def answer(self, query):
        question = query.question[0]
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        name = question.name.to_text().rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        if self.is_down:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found := self.records.get((name, kind)):
            rows = dns.rrset.from_text(question.name, 60, "IN", kind, *found)
            answer.answer.append(rows)
        elif not any(name == known for known, _kind in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def close(self):
        self.socket.close()
