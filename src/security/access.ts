/** The step that says who may come in: `[security.access_control]`. */
import type { SecurityConfig } from "../config/model.ts";
import type { Refusal } from "../http/refusal.ts";
import { IpSet } from "./ip_set.ts";

export interface AccessStep {
  /** A refusal, or null: let the request pass. Changes nothing, so that `explain` may run it too. */
  check(request: { readonly clientIp: string }): Refusal | null;
  /** Which entry decides, for operators only: clients are not told what the lists hold. */
  explain(request: { readonly clientIp: string }): string;
}

/** @returns null if the configuration asks for no such step */
export function accessStep({ enabled, accessControl }: SecurityConfig): AccessStep | null {
  const { allowedIps, deniedIps } = accessControl;
  if (!enabled || !accessControl.enabled || (allowedIps.length === 0 && deniedIps.length === 0)) return null;
  const denied = deniedIps.length === 0 ? null : new IpSet(deniedIps);
  const allowed = allowedIps.length === 0 ? null : new IpSet(allowedIps);
  return {
    check({ clientIp }) {
      // A denial wins over an allowance, whichever is the narrower.
      if (denied !== null && denied.has(clientIp)) {
        return { code: "forbidden", message: FORBIDDEN, denial: "denied_ip" };
      }
      if (allowed !== null && !allowed.has(clientIp)) {
        return { code: "forbidden", message: FORBIDDEN, denial: "not_allowed_ip" };
      }
      return null;
    },
    explain({ clientIp }) {
      const denial = denied?.find(clientIp) ?? null;
      if (denial !== null) return `${clientIp} is refused: denied_ips holds ${denial}`;
      if (allowed === null) return `${clientIp} may pass: it is not in denied_ips`;
      const allowance = allowed.find(clientIp);
      return allowance === null
        ? `${clientIp} is refused: it is not in allowed_ips`
        : `${clientIp} may pass: allowed_ips holds ${allowance}`;
    },
  };
}

const FORBIDDEN = "Forbidden: requests from your address are not allowed here";
