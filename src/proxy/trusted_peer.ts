/**
 * Peers whose X-Forwarded-* fields are believed when `trust_proxy_headers` is on: loopback and private
 * addresses (RFC 1918, RFC 4193, RFC 3927, RFC 4291 section 2.5.6).
 */
const TRUSTED = [
  /^127\./,
  /^10\./,
  /^192\.168\./,
  /^172\.(1[6-9]|2[0-9]|3[01])\./,
  /^169\.254\./,
  /^::1$/,
  /^f[cd][0-9a-f]{2}:/i,
  /^fe[89ab][0-9a-f]:/i,
];
const IPV4_MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

export function isTrustedPeer(ip: string): boolean {
  const address = IPV4_MAPPED.exec(ip)?.[1] ?? ip;
  return TRUSTED.some((pattern) => pattern.test(address));
}
