/** Whose address a request counts as: the peer's, or what the proxies in front of Dispa say it is. */
import { canonicalIp, newIpv6Groups, parseIpv6 } from "../config/ip_address.ts";
import type { SecurityConfig } from "../config/model.ts";
import { IpSet } from "./ip_set.ts";

/** Loopback, private and link-local: RFC 1122, RFC 1918, RFC 3927, RFC 4193, RFC 4291 section 2.5. */
const LOCAL_RANGES = [
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "169.254.0.0/16",
  "::1",
  "fc00::/7",
  "fe80::/10",
];

/** More proxies than any chain has: a peer that is trusted may still pass on what a client made up. */
const MAX_HOPS = 64;

/** The peers whose X-Forwarded-* fields are believed. */
export class TrustedPeers {
  /** Null: nobody. */
  readonly #trusted: IpSet | null;

  constructor({ enabled, accessControl }: SecurityConfig) {
    this.#trusted = enabled && accessControl.enabled && accessControl.trustProxyHeaders
      ? new IpSet(accessControl.trustedProxies ?? LOCAL_RANGES)
      : null;
  }

  /** Whether the peer is a proxy whose X-Forwarded-* fields are believed and passed on. */
  trusts(peerIp: string): boolean {
    return this.#trusted !== null && this.#trusted.has(peerIp);
  }

  /**
   * The first address from the right of X-Forwarded-For that is no trusted proxy's. What stands to the left
   * of it is what that client claims. An entry that is no address ends the walk at the last one that was: who
   * wrote it is trusted, what it says is not known.
   * @param peerIp address of the connection's other end
   * @param forwardedFor the whole field, all its lines joined by commas; null where there is none
   * @returns in the spelling of `canonicalIp`; a peer that has no IP address comes out as it is
   */
  clientAddress(peerIp: string, forwardedFor: string | null): string {
    let client = canonicalIp(peerIp) ?? peerIp;
    if (this.#trusted === null || forwardedFor === null) return client;
    let end = forwardedFor.length;
    for (let hop = 0; hop < MAX_HOPS && end >= 0 && this.#trusted.has(client); hop++) {
      const comma = end === 0 ? -1 : forwardedFor.lastIndexOf(",", end - 1);
      const entry = forwardedFor.slice(comma + 1, end).trim();
      end = comma;
      // RFC 9110 section 5.6.1.2: empty elements of a list mean nothing.
      if (entry === "") continue;
      const ip = canonicalIp(withoutPort(entry));
      if (ip === null) break;
      client = ip;
    }
    return client;
  }
}

/** Some proxies write `192.0.2.1:4711`, `[2001:db8::1]:4711` or `[2001:db8::1]`. */
function withoutPort(entry: string): string {
  const bracketed = /^\[([0-9a-f:.]+)\](?::[0-9]{1,5})?$/i.exec(entry);
  if (bracketed !== null) return bracketed[1];
  return /^([0-9.]+):[0-9]{1,5}$/.exec(entry)?.[1] ?? entry;
}

/**
 * What limits count a client by: an IPv4 address whole, an IPv6 address by its first 64 bits (`2001:db8:0:1`),
 * because a subscriber has all the addresses that begin so (RFC 6177).
 * @param clientIp in the spelling of `canonicalIp`
 */
export function networkKey(clientIp: string): string {
  let end = clientIp.indexOf(":");
  if (end === -1) return clientIp;
  // Where the four groups stand in the text, they need no reading, which takes 0.7 µs.
  for (let group = 1; group < 4; group++) {
    const next = clientIp.indexOf(":", end + 1);
    if (next === -1) return clientIp;
    if (next === end + 1) return readNetwork(clientIp);
    end = next;
  }
  return clientIp.slice(0, end);
}

function readNetwork(clientIp: string): string {
  const groups = newIpv6Groups();
  if (!parseIpv6(clientIp, groups)) return clientIp;
  return Array.from(groups.subarray(0, 4), (group) => group.toString(16)).join(":");
}
