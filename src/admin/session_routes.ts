/** Login, logout, and who one is. */
import { Hono } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import type { Context } from "hono";
import { VERSION } from "../version.ts";
import {
  type Access,
  type AdminEnv,
  type Caller,
  peerOf,
  refuseOtherPages,
  requireOwnPage,
  roleOf,
} from "./access.ts";
import { type Session, SESSION_COOKIE } from "./api.ts";
import type { Audit } from "./audit_trail.ts";
import { AdminFailure } from "./failure.ts";
import { SESSION_SECONDS } from "./sessions.ts";

export function sessionRoutes(access: Access, audit: Audit): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();

  app.get("/session", (c) => c.json(sessionOf(access, c.get("caller"))));

  app.post("/login", async (c) => {
    refuseOtherPages(c);
    if (access.readOnly) {
      throw new AdminFailure("conflict", "there is nothing to log in to: no token is configured");
    }
    const { token, form } = await readToken(c);
    const identity = await access.attempt(peerOf(c), token);
    const { id, session } = access.sessions.open(identity);
    setCookie(c, SESSION_COOKIE, id, { ...cookieOptions(c), maxAge: SESSION_SECONDS });
    const caller: Caller = { kind: "session", identity, id, session };
    c.set("caller", caller);
    await audit(c, { action: "login", subject: null });
    return form ? c.redirect("/admin", 303) : c.json(sessionOf(access, caller));
  });

  app.post("/logout", async (c) => {
    const caller = c.get("caller");
    if (caller.kind === "session") {
      requireOwnPage(c);
      access.sessions.end(caller.id);
      await audit(c, { action: "logout", subject: null });
    }
    deleteCookie(c, SESSION_COOKIE, cookieOptions(c));
    return c.json(sessionOf(access, access.readOnly ? caller : { kind: "nobody" }));
  });
  return app;
}

function sessionOf(access: Access, caller: Caller): Session {
  return {
    role: roleOf(caller),
    mode: access.readOnly ? "read_only" : "tokens",
    roles: access.tokens.roles,
    expires_at: caller.kind === "session" ? new Date(caller.session.expiresAtMs).toISOString() : null,
    version: VERSION,
  };
}

function cookieOptions(c: Context<AdminEnv>) {
  // Whoever lies about it only keeps a cookie of his own from being sent.
  const secure = new URL(c.req.url).protocol === "https:" || c.req.header("x-forwarded-proto") === "https";
  return { path: "/admin", httpOnly: true, sameSite: "Strict", secure } as const;
}

async function readToken(c: Context<AdminEnv>): Promise<{ token: string; form: boolean }> {
  const type = c.req.header("content-type")?.split(";")[0].trim().toLowerCase();
  const text = await c.req.text();
  if (type === "application/x-www-form-urlencoded") {
    return { token: new URLSearchParams(text).get("token") ?? "", form: true };
  }
  const body = parseJson(text);
  if (typeof body === "object" && body !== null && "token" in body && typeof body.token === "string") {
    return { token: body.token, form: false };
  }
  throw new AdminFailure(
    "bad_request",
    'cannot log in with this body, wanted JSON as {"token":"…"}, or a form',
  );
}

/** The value, or undefined for what is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    if (fault instanceof SyntaxError) return undefined;
    throw fault;
  }
}
