# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Mails signed by another program (dkimpy 1.1.8), and the keys to check them with.

The private keys were thrown away.
"""

from __future__ import annotations

import base64

#: What was signed, by each of the signatures below.
MAIL = (
    b"From: Jane  Doe <jane@sender.example>\r\n"
    b"To: x@my.example\r\n"
    b"Subject: Shall we \r\n"
    b"\thave lunch\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@sender.example>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"\r\n"
    b"How about  lunch\t today? \r\n"
    b"\r\n"
    b"  Jane\r\n"
    b"\r\n"
    b"\r\n"
)

_SIGNATURES = {
    "rsa simple/simple": (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=sender"
        b".example;\r\n"
        b" i=@sender.example; q=dns/txt; s=r; t=1795200243; h=from : t"
        b"o : subject\r\n"
        b" : date : message-id : mime-version : from;\r\n"
        b" bh=LYCwLWxsV5M/UyRqCmcLJNwR3PHK/zzvASMuNv6gyVc=;\r\n"
        b" b=PIWMk3fnrxdEpVf6jCVbUR3mQTP3jT0O3WAphUFPPBVLXygQn7Bg+vyO8"
        b"ebibneYYzRuZ\r\n"
        b" Y+1bQmHdTrGkGP2S5NLRg1IyMPszDJL+LIwlSkl+xPjiZnrSV5AO2b+LGcH"
        b"WNXMDClbf3z3\r\n"
        b" NTZ31tk22ZtPb9zFvXB8WSTwEy8ByrBIfm9TEvZv/LSmW+x1EGI8CHeZ8by"
        b"413HyhJQ01sy\r\n"
        b" /TZCh6OV+cFUpxD8731i5voInl1/kGetnLpQ1SfjDQ5cs1lDh0QHP+Xnzto"
        b"ye2Ei/r6QqFv\r\n"
        b" P4yI3AbzlgiU7w74kfEmTSeG5njFSrrrgwrl94XLwfUwVdvvZdu/OL8QmR0"
        b"g==\r\n"
    ),
    "rsa relaxed/simple": (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=sende"
        b"r.example;\r\n"
        b" i=@sender.example; q=dns/txt; s=r; t=1795200243; h=from : t"
        b"o : subject\r\n"
        b" : date : message-id : mime-version : from;\r\n"
        b" bh=LYCwLWxsV5M/UyRqCmcLJNwR3PHK/zzvASMuNv6gyVc=;\r\n"
        b" b=pjjmTe1EpcqM55+GcSWVNk9TNuGFiuMlidq27yVAomwcb1nVGwxlRh4DD"
        b"U45gRbnUmajw\r\n"
        b" OLKrMpioZslfVB9e5f9Re3IaIrlNgOK6AGyipnCINKeoVIM0h2ff6rZwUin"
        b"vcRncKy306dH\r\n"
        b" 8knn+lmOD/ZBR4ksXlrk4EsNHL1nZ4Js/WTB//YBXebcoltmmpQfQGlr4Tg"
        b"GqAPVx2HRj0z\r\n"
        b" g29viOaNzkrnCGsotXf2+TkHLyiKJ+8OWiYnBWS9dfE82oEhhTdJ7ABAXUz"
        b"B+1jzX9OgAQi\r\n"
        b" SKTSAkoPWjEEhuFVCZ/5p9dJJ+1jTdirqKaqOWhfdfYab/+o5qjus/iWhgL"
        b"A==\r\n"
    ),
    "rsa simple/relaxed": (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=sende"
        b"r.example;\r\n"
        b" i=@sender.example; q=dns/txt; s=r; t=1795200243; h=from : t"
        b"o : subject\r\n"
        b" : date : message-id : mime-version : from;\r\n"
        b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
        b" b=E72l813M9C0EnrYhLytSAgVojbsCLkz5sKAOIAkqozqW3M6af/ww2VAKy"
        b"JyeB+f6VogPn\r\n"
        b" ieqhILHSxWLkEzGHWo3mtTMP1oUssuz2MoNLkGId4wbL+BkK0oVTybN2ifX"
        b"eZPqSYe/EE2F\r\n"
        b" 2/3gZgcSoSthnWCBmnCMi+jVBczaC15KGN610bjK8LlWq57l4qwTvzGgYkq"
        b"3gSEAFXDYWJ2\r\n"
        b" H48cWVgfKo2OYj2ZF2I6jjCrz7eupftOgp6T1qIco3l59O8IF1J3/6isE0C"
        b"w2zP1xn7ZK3L\r\n"
        b" PfRRneatsyS0mN5p5W1OeNnmArkgQYQCvqhuwl623ymSc4CNWOCBcfiim3J"
        b"g==\r\n"
    ),
    "rsa relaxed/relaxed": (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=send"
        b"er.example;\r\n"
        b" i=@sender.example; q=dns/txt; s=r; t=1795200243; h=from : t"
        b"o : subject\r\n"
        b" : date : message-id : mime-version : from;\r\n"
        b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
        b" b=dLgjQksV7fe0BQvDaCzjow/fR5G8UtnlrjvHzIXADm0GHTvegjJxhDVpB"
        b"Ep8hj/f4gQXO\r\n"
        b" D5OJQtb4apmBTySx4F8D8FJB8lfx/uIlo+Bnd7qYt1zLkpOAgxs/hP850MC"
        b"hDJ0iTFVP8SR\r\n"
        b" 1QlJduPIAW6pUKt804GoAMMHXWkrrKdP2Y8gVsrMeLLBPsrL9x1IcmcicEb"
        b"H9GibzFPzoWQ\r\n"
        b" AVPVr14Q6tyVTI6Rcq4nB89MXEhnOrbF1wbZL/rs9E+yExpLVJWUdob8lJN"
        b"jRiBJ6V0oaSe\r\n"
        b" EhSVeqGf//I8j21KuVZddLtpUGBAjL34dUlV1zPD2knU/SuolUwaHuXevCp"
        b"g==\r\n"
    ),
    "ed25519 relaxed/relaxed": (
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        b" d=sender.example; i=@sender.example; q=dns/txt; s=e; t=1795"
        b"200243;\r\n"
        b" h=from : to : subject : date : message-id : mime-version : "
        b"from;\r\n"
        b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
        b" b=hKDzWLB9oagczaVBBc77/Owzsh6f1hfqvLzG+jClat2OBm+BAcF8R/1up"
        b"/NyJEP9opqXb\r\n"
        b" x74lIvwgkNcaRr7Ag==\r\n"
    ),
    "key without its envelope": (
        b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=send"
        b"er.example;\r\n"
        b" i=@sender.example; q=dns/txt; s=p; t=1795200243; h=from : t"
        b"o : subject\r\n"
        b" : date : message-id : mime-version : from;\r\n"
        b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
        b" b=LMCxvH/c0zS3MA9H2g018tP/OtpKVB3txqIxffdxG95gOrnjKxFb4X0zz"
        b"JpIDohYtpg9Z\r\n"
        b" xziE7bjb37gaK1bjv5cLhgfG96C8/3cjLGc9HWcZjyovZgOu4U0CYLD01V3"
        b"zmsLHwC29qAL\r\n"
        b" 620cAo7Fu3/9yqlOCx9KYcrTrwenjUvrVfR9k6t/FYlgzPG/rayp9xduLVg"
        b"V2bukFZJYUm0\r\n"
        b" KN/Q6FjRCJ2dYZEk05yOkzey5qkoUn2uIu3Gh75GX9wkixBhcEb65e65ohc"
        b"ZXSa8LEDp69x\r\n"
        b" Yt8MuQRh+1GWg08HueKtvseBGos+cxYGx2ib6aeyvV9DMryJFHQ+ZeAlMN9"
        b"A==\r\n"
    ),
}

#: TXT records by name.
RECORDS = {
    "r._domainkey.sender.example": (
        b"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQ"
        b"EAr0lQddVj9aNFIzdX6TaENk7xODzPCJ+gLZUd93xDJIb0kfzzQ68zaGtNAm"
        b"1rQP6GfRxWoQp1RdaFuY42a0vb0k33di16ptsxQcSnM1LyPlZjUUEhua/Gs0"
        b"ldaITd0JsTiB+Rd419a7DkCP3WZIcvPUEkhZb2R5F+UHxR/Dg8c/087COKuX"
        b"PpVx7hQcppgJUpvNVB8YhS8Sv5LczJ+FsQT8/EXNChwWhpMKQUs+TK1zUxO4"
        b"uPpRTOAr1pHm0jNxpUmrZSXdWKrlOUZbO96S6duNqEBECJaBm0fuCHF7oCG4"
        b"L0+xfGtnBFtK9CWsAQoEaytcvvWvPPHFsa/XuzLFiDAwIDAQAB"
    ),
    "e._domainkey.sender.example": (
        b"v=DKIM1; k=ed25519; p=uvPHEfalIlYV+h1qJ/vFDNjwn2hFMKHjzJ2sDwAtk34="
    ),
    "p._domainkey.sender.example": (
        b"p=MIIBCgKCAQEAr0lQddVj9aNFIzdX6TaENk7xODzPCJ+gLZUd93xDJIb0kf"
        b"zzQ68zaGtNAm1rQP6GfRxWoQp1RdaFuY42a0vb0k33di16ptsxQcSnM1LyPl"
        b"ZjUUEhua/Gs0ldaITd0JsTiB+Rd419a7DkCP3WZIcvPUEkhZb2R5F+UHxR/D"
        b"g8c/087COKuXPpVx7hQcppgJUpvNVB8YhS8Sv5LczJ+FsQT8/EXNChwWhpMK"
        b"QUs+TK1zUxO4uPpRTOAr1pHm0jNxpUmrZSXdWKrlOUZbO96S6duNqEBECJaB"
        b"m0fuCHF7oCG4L0+xfGtnBFtK9CWsAQoEaytcvvWvPPHFsa/XuzLFiDAwIDAQ"
        b"AB"
    ),
}

_SHORT = {
    1024: (
        (
            b"MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDUir4t6d9vIA/Fyu4WUVIL"
            b"YWnMi//X/g0g7V79GCDnopOXwHK0aaZ/QyZBgsij0TN5bxHkGgLgkZwX6GAo"
            b"lwuYGmbcofRI1oMQjamTuELJdToYX9XG8UFkpL8vJX9Oh0MzPeCtzL2viW0K"
            b"NQVTPxbkqsJITGlUWSoRS/2vJwZAlQIDAQAB"
        ),
        (
            b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=send"
            b"er.example;\r\n"
            b" i=@sender.example; q=dns/txt; s=sel; t=1795200243; h=from :"
            b" to :\r\n"
            b" subject : date : message-id : mime-version : from;\r\n"
            b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
            b" b=eP3Sy/1jCjaICi0tq8QgvYgFxN6f/YJdtpKTEja1ZRo8QsujDxnk3mciB"
            b"I0BMMafcACcJ\r\n"
            b" CPbaJFQnFjlW3QO6vWG5m43P+o30OWYhgnNs13RHo93Ah4HLm7I9xKoKA7Y"
            b"9RUbAzVKPxNe\r\n"
            b" Q6F62kRZ0TS/viJiXKG0ByxwzF1pCdo=\r\n"
        ),
    ),
    1023: (
        (
            b"MIGeMA0GCSqGSIb3DQEBAQUAA4GMADCBiAKBgGuEGuWJ6QcMH/jKNZBOT8NE"
            b"Cw1aKHwB0jYkYfBbXMsfXT4m+Ex1zCEKbNAN9SLpg2l9OBWErhggPdPOKPKl"
            b"WYODRsPZrUNPhiXRcNK5cj4gpZNKE0owOKzM3KE+ZZmOhMrRvS3qBHVCGca7"
            b"wAXe3MFSooAOqqCeXsGbbo0deXPdAgMBAAE="
        ),
        (
            b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=send"
            b"er.example;\r\n"
            b" i=@sender.example; q=dns/txt; s=sel; t=1795200243; h=from :"
            b" to :\r\n"
            b" subject : date : message-id : mime-version : from;\r\n"
            b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
            b" b=Pl6W9l8bKocWQVknujnbp0oMSLWV31Q1471NPqTcXhYzgG35S/KZWH5H7"
            b"sR4i1yLmvD8u\r\n"
            b" UKTLBl+e6Q216mvMdGrL3G7w1WqHCNm0fXOo8NV5I05U5AP7HPAzClPJRFa"
            b"wWF2d86j+M7h\r\n"
            b" 1BgtLPhY28CJ6sV3VB8Kcw1r2h97z8Q=\r\n"
        ),
    ),
    768: (
        (
            b"MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAK/OnKvI9z+g6Ktu8Fx/vbw/dKdt"
            b"hpHkIL+HGNdb4PMrL0dQoIlmTqWEc+vpnDSzoz/pvktMeaXJfOpqXzQUtQnW"
            b"pFTTrX0G6KG0Oz+y6t6FgOfjwQmBXkX6i/wUe1MtdwIDAQAB"
        ),
        (
            b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=send"
            b"er.example;\r\n"
            b" i=@sender.example; q=dns/txt; s=sel; t=1795200243; h=from :"
            b" to :\r\n"
            b" subject : date : message-id : mime-version : from;\r\n"
            b" bh=cpgyNrQ+DHyPfHdG1th6DuSRNZIbL96qqyWkOy/M7RY=;\r\n"
            b" b=kzExqn+LC3G92z8wQRxH5xbR9vL3IFkoAkOHUmqBjYpUtVz5vXvbKulT0"
            b"bz6NaPJmNtM5\r\n"
            b" P7wxW/QHqz5zMi/Q3jXQnBD4Wz/KMO6vnuWn96vKMsEbIncq3vaw7XjsZy8"
            b"\r\n"
        ),
    ),
}

MAILS = {name: signature + MAIL for name, signature in _SIGNATURES.items()}


def short_key_mail(bits: int) -> tuple[bytes, bytes]:
    """Return a public key of that length (DER), and a mail signed with it."""
    public, signature = _SHORT[bits]
    return base64.b64decode(public), signature + MAIL
