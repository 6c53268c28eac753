import { _t } from "@web/core/l10n/translation";

const UNITS = [_t("bytes"), _t("kB"), _t("MB"), _t("GB")];

/** Return a number of bytes as people read it (1 kB = 1024 bytes). */
export function humanSize(bytes) {
    let size = bytes || 0;
    let unit = 0;
    while (size >= 1024 && unit < UNITS.length - 1) {
        size /= 1024;
        unit++;
    }
    const digits = unit && size < 10 ? 1 : 0;
    return `${size.toFixed(digits)} ${UNITS[unit]}`;
}
