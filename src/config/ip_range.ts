/** Ranges of addresses as the lists of the configuration write them. */
import type { Parsed } from "./fields.ts";
import {
  formatIpv4,
  formatIpv6,
  type Ipv6Groups,
  mappedIpv4,
  newIpv6Groups,
  parseIpv4,
  parseIpv6,
} from "./ip_address.ts";

/** Addresses whose first `prefix` bits are those of the address; the other bits of that are zero. */
export type IpRange =
  | { family: 4; address: number; prefix: number }
  | { family: 6; address: Ipv6Groups; prefix: number };

const FORM = 'an address, a CIDR range or a pattern such as "192.0.2.7", "10.0.0.0/8", "192.168.1.*" or ' +
  '"2001:db8::/32"';

/**
 * Reads `192.0.2.7`, `10.0.0.0/8`, `192.168.1.*`, `2001:db8::1` or `2001:db8::/32`. Bits behind the prefix are
 * cleared. IPv4-mapped addresses and ranges (`::ffff:10.0.0.0/104`) come out as the IPv4 ones they mean.
 * @returns null for anything else
 */
export function readIpRange(text: string): IpRange | null {
  const slash = text.indexOf("/");
  const address = slash === -1 ? text : text.slice(0, slash);
  const prefix = slash === -1 ? null : text.slice(slash + 1);
  if (prefix !== null && !/^(?:0|[1-9][0-9]{0,2})$/.test(prefix)) return null;

  const ipv4 = parseIpv4(address);
  if (ipv4 !== -1) return ipv4Range(ipv4, prefix === null ? 32 : Number(prefix));
  if (prefix === null && address.endsWith("*")) return readPattern(address);
  const groups = newIpv6Groups();
  return parseIpv6(address, groups) ? ipv6Range(groups, prefix === null ? 128 : Number(prefix)) : null;
}

/** `a.*` to `a.b.c.*`; the stars may fill up the four places (`10.1.*.*`). */
function readPattern(text: string): IpRange | null {
  const parts = text.split(".");
  const known = parts.indexOf("*");
  if (parts.length > 4 || known === 0 || parts.slice(known).some((part) => part !== "*")) return null;
  const address = parseIpv4([...parts.slice(0, known), ..."000"].slice(0, 4).join("."));
  return address === -1 ? null : ipv4Range(address, known * 8);
}

function ipv4Range(address: number, prefix: number): IpRange | null {
  if (prefix > 32) return null;
  const mask = prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0;
  return { family: 4, address: (address & mask) >>> 0, prefix };
}

function ipv6Range(address: Ipv6Groups, prefix: number): IpRange | null {
  if (prefix > 128) return null;
  const ipv4 = prefix < 96 ? -1 : mappedIpv4(address);
  if (ipv4 !== -1) return ipv4Range(ipv4, prefix - 96);
  for (let group = 0; group < 8; group++) {
    const kept = Math.min(16, Math.max(0, prefix - 16 * group));
    address[group] &= 0xffff << (16 - kept);
  }
  return { family: 6, address, prefix };
}

/** The one spelling of a range: an address alone without its `/32` or `/128`. */
export function formatIpRange(range: IpRange): string {
  const text = range.family === 4 ? formatIpv4(range.address) : formatIpv6(range.address);
  return range.prefix === (range.family === 4 ? 32 : 128) ? text : `${text}/${range.prefix}`;
}

/** @returns the range in the spelling of `formatIpRange` */
export function parseIpRange(text: string): Parsed<string> {
  const range = readIpRange(text);
  return range === null ? { ok: false, wanted: FORM } : { ok: true, value: formatIpRange(range) };
}
