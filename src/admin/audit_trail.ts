/** From a request to its line in the audit log. */
import type { Context } from "hono";
import { type AdminEnv, nameOf, peerOf } from "./access.ts";
import type { AuditLog } from "./audit.ts";

export interface Deed {
  action: string;
  subject: string | null;
  /** Default `ok`. */
  result?: string;
  detail?: string | null;
}

/** Records what the caller of a request has done or tried. */
export type Audit = (c: Context<AdminEnv>, deed: Deed) => Promise<void>;

export function auditTrail(log: AuditLog): Audit {
  return (c, { action, subject, result = "ok", detail = null }) =>
    log.write({ who: nameOf(c.get("caller")), from: peerOf(c), action, subject, result, detail });
}
