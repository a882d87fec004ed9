/** Numbers with their units, as short as they stay honest. Missing values are an en dash. */

export const MISSING = "–";

/** Between a number and its unit: they shall not be parted by a line's end. */
const NBSP = "\u00a0";

/** Three significant digits, thousands grouped: 0.52, 18.3, 1,204. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

/** @param value 0 to 1 */
export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const hundredths = value * 100;
  const digits = hundredths === 0 || hundredths >= 99.95 ? 0 : hundredths < 1 ? 2 : 1;
  return `${hundredths.toFixed(digits)}${NBSP}%`;
}

export function milliseconds(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return MISSING;
  return ms < 1000 ? `${number(ms)}${NBSP}ms` : `${number(ms / 1000)}${NBSP}s`;
}

export function seconds(value: number | null | undefined): string {
  return milliseconds(value === null || value === undefined ? value : value * 1000);
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  let size = value;
  let unit = 0;
  while (size >= 999.5 && unit < BYTE_UNITS.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${unit === 0 ? Math.round(size) : number(size)}${NBSP}${BYTE_UNITS[unit]}`;
}

/** The two largest units: `3 d 4 h`, `12 min 5 s`. */
export function duration(totalSeconds: number | null | undefined): string {
  if (totalSeconds === null || totalSeconds === undefined || !Number.isFinite(totalSeconds)) return MISSING;
  const whole = Math.max(0, Math.round(totalSeconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return `0${NBSP}s`;
  return parts.slice(first, first + 2).filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count}${NBSP}${unit}`).join(" ");
}

/** Local time of day with milliseconds. */
export function timeOfDay(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const two = (value: number) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${
    String(date.getMilliseconds()).padStart(3, "0")
  }`;
}

/** Local date and time. */
export function dateTime(iso: string | null | undefined): string {
  if (iso === null || iso === undefined) return MISSING;
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const two = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${
    two(date.getMinutes())
  }:${two(date.getSeconds())}`;
}

/** A rate with the unit's name in the reader's language. */
export function rate(value: number | null | undefined, unit: string): string {
  return `${number(value)}${NBSP}${unit}`;
}
