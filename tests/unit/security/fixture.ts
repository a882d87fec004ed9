/** What the tests of the security steps share. */
import type { AccessControlConfig, SecurityConfig } from "../../../src/config/mod.ts";

/** A section that asks for nothing. */
export const NO_SECURITY: SecurityConfig = {
  enabled: true,
  accessControl: {
    enabled: true,
    allowedIps: [],
    deniedIps: [],
    trustProxyHeaders: false,
    trustedProxies: null,
  },
  rateLimit: null,
  exemptPaths: [],
  auth: null,
  jwt: null,
  ddos: {
    maxHeaders: 100,
    maxHeaderBytes: 32_768,
    maxBodyBytes: 0,
    requireContentLength: false,
    maxConnections: 0,
    maxConnectionsPerIp: 0,
    minBodyBytesPerSecond: 0,
  },
};

export function withAccess(access: Partial<AccessControlConfig>): SecurityConfig {
  return { ...NO_SECURITY, accessControl: { ...NO_SECURITY.accessControl, ...access } };
}
