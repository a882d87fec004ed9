/** IP addresses and networks, as text and as numbers that can be compared. */
import { isIPv4, isIPv6 } from "node:net";
import type { Parsed } from "./fields.ts";

/** An address as whole numbers of 32 bits: one for IPv4, four for IPv6. IPv4-mapped IPv6 is IPv4. */
export type IpWords = readonly number[];

export interface IpRange {
  words: IpWords;
  /** Leading bits that count. */
  bits: number;
}

const FORM = "an IP address or network such as 10.1.2.3, 10.0.0.0/8, 10.0.0.* or 2001:db8::/32";

/** For a configuration field: the range in its plain form, bits beyond the network cleared. */
export function parseIpRangeText(text: string): Parsed<string> {
  const parsed = parseIpRange(text);
  return parsed.ok ? { ok: true, value: formatIpRange(parsed.value) } : parsed;
}

export function parseIpRange(text: string): Parsed<IpRange> {
  const wildcard = /^((?:\d{1,3}\.){1,3})\*(?:\.\*)*$/.exec(text);
  if (wildcard !== null) {
    const parts = wildcard[1].slice(0, -1).split(".");
    if (text.split(".").length > 4) return { ok: false, wanted: FORM };
    return network([...parts, "0", "0", "0"].slice(0, 4).join("."), 8 * parts.length);
  }
  const [address, length, ...rest] = text.split("/");
  if (rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) {
    return { ok: false, wanted: FORM };
  }
  return network(address, length === undefined ? null : Number(length));
}

function network(address: string, length: number | null): Parsed<IpRange> {
  const words = parseIp(address);
  if (words === null) return { ok: false, wanted: FORM };
  const most = 32 * words.length;
  // The length of an IPv4-mapped network counts from the start of the IPv6 address.
  const skipped = words.length === 1 && address.includes(":") ? 96 : 0;
  const bits = length === null ? most : length - skipped;
  if (bits < 0 || bits > most) {
    return { ok: false, wanted: `${FORM}, with a length from ${skipped} to ${most + skipped}` };
  }
  return { ok: true, value: { words: words.map((word, index) => (word & maskAt(index, bits)) >>> 0), bits } };
}

/** @returns null for what is no address; a zone (`%eth0`) is dropped */
export function parseIp(text: string): IpWords | null {
  if (isIPv4(text)) return [ipv4Word(text)];
  const plain = text.replace(/%.*$/, "");
  if (!isIPv6(plain)) return null;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  const groups = dotted === null ? plain : dotted[1] + hexadecimalGroups(ipv4Word(dotted[2]));
  const [head, tail] = groups.split("::").map((half) => half === "" ? [] : half.split(":"));
  const all = tail === undefined
    ? head
    : [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  const numbers = all.map((group) => parseInt(group, 16));
  const words = [0, 2, 4, 6].map((index) => (numbers[index] * 65_536 + numbers[index + 1]) >>> 0);
  const isMapped = words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return isMapped ? [words[3]] : words;
}

export function isInRange(words: IpWords, range: IpRange): boolean {
  return words.length === range.words.length &&
    words.every((word, index) => ((word ^ range.words[index]) & maskAt(index, range.bits)) === 0);
}

/** The bits of the word at `index` that belong to a network of that length. */
function maskAt(index: number, bits: number): number {
  const inWord = Math.min(32, Math.max(0, bits - 32 * index));
  return inWord === 0 ? 0 : -1 << (32 - inWord);
}

function ipv4Word(text: string): number {
  return text.split(".").reduce((word, part) => word * 256 + Number(part), 0);
}

function hexadecimalGroups(word: number): string {
  return `${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
}

function formatIpRange({ words, bits }: IpRange): string {
  const text = words.length === 1
    ? [24, 16, 8, 0].map((shift) => (words[0] >>> shift) & 255).join(".")
    // The URL parser writes the shortest form (RFC 5952).
    : new URL(`http://[${words.map(hexadecimalGroups).join(":")}]/`).hostname.slice(1, -1);
  return bits === 32 * words.length ? text : `${text}/${bits}`;
}
