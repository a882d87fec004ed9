/**
 * Everything under /admin, as one Hono app. It is loaded with the first request that asks for it: a proxy that
 * nobody looks at does not carry it.
 */
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { MAX_CONFIG_BYTES } from "../config/source_file.ts";
import { Access, type AdminEnv, isChange } from "./access.ts";
import { AuditLog, MAX_AUDIT_ENTRIES } from "./audit.ts";
import { auditTrail } from "./audit_trail.ts";
import { configRoutes } from "./config_routes.ts";
import { CONSOLE_ASSETS } from "./console_assets.ts";
import { EVENT_STREAM_HEADERS, EventStreams } from "./event_stream.ts";
import { explainRoutes } from "./explain_routes.ts";
import { AdminFailure } from "./failure.ts";
import { plainPage } from "./plain_page.ts";
import { Sampler } from "./sampler.ts";
import { sessionRoutes } from "./session_routes.ts";
import type { AdminSource } from "./source.ts";
import { status } from "./status.ts";
import { targetRoutes } from "./target_routes.ts";
import type { Tokens } from "./tokens.ts";
import { tooManyListeners, trafficRoutes } from "./traffic_routes.ts";

const MAX_EVENT_LISTENERS = 32;
const DEFAULT_AUDIT_ENTRIES = 100;

const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "cross-origin-resource-policy": "same-origin",
};

export interface AdminApp {
  app: Hono<AdminEnv>;
  /** Ends all server-sent events, so that the server can close. */
  close(): void;
}

export interface AdminAppOptions {
  source: AdminSource;
  tokens: Tokens;
  /** Milliseconds of whichever clock; for tests. */
  nowMs?: () => number;
}

export function adminApp({ source, tokens, nowMs }: AdminAppOptions): AdminApp {
  const access = new Access({
    tokens,
    nowMs,
    bindHostname: () => source.config().monitoring.bindHostname,
    onFailedAttempt: () => source.countFailedAttempt(),
  });
  const auditLog = new AuditLog({
    directory: () => source.config().logging.file.directory,
    log: (level, message, fields) => source.log(level, message, fields),
  });
  const audit = auditTrail(auditLog);
  const traffic = trafficRoutes(source, access);
  const events = new EventStreams(
    MAX_EVENT_LISTENERS,
    (listeners) => listeners > 0 ? sampler.start() : sampler.stop(),
  );
  const sampler = new Sampler(source, (event, data) => events.send(event, data));
  const viewer = access.atLeast("viewer");

  const app = new Hono<AdminEnv>().basePath("/admin");
  app.onError(async (fault, c: Context<AdminEnv>) => {
    const failure = fault instanceof AdminFailure ? fault : unexpected(source, fault);
    // Nobody is set yet where a wrong token has ended the request.
    const wrongToken = failure.code === "unauthorized" && c.get("caller") === undefined;
    if (isChange(c.req.method) || wrongToken) {
      await audit(c, {
        action: `${c.req.method} ${c.req.path}`,
        subject: null,
        result: failure.code,
        detail: failure.problems === undefined ? failure.message : `${failure.problems.length} problems`,
      });
    }
    return c.json(failure.body, failure.status, { ...SECURITY_HEADERS, ...failure.headers });
  });
  app.notFound((c) => {
    const failure = new AdminFailure("not_found", `there is no ${c.req.path}, see /admin/openapi.json`);
    return c.json(failure.body, 404, SECURITY_HEADERS);
  });
  app.use(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) c.res.headers.set(name, value);
  });
  app.use(access.localOnly);

  app.get("/", (c) => page(c));
  app.get("/assets/:name", (c) => asset(c, c.req.param("name")));
  app.get("/openapi.json", async (c) => c.json((await import("./openapi.ts")).openApi()));

  app.use(bodyLimit({
    maxSize: MAX_CONFIG_BYTES,
    onError: () => {
      throw new AdminFailure("too_large", `the body is larger than ${MAX_CONFIG_BYTES} bytes`);
    },
  }));
  app.use(access.identify);
  app.route("/", sessionRoutes(access, audit));
  app.get("/status", viewer, (c) => c.json(status(source)));
  app.route("/targets", targetRoutes(source, access, audit));
  app.route("/config", configRoutes(source, access, audit));
  app.route("/traffic", traffic.app);
  app.route("/explain", explainRoutes(source, access));
  app.get("/events", viewer, (c) => {
    const caller = c.get("caller");
    const stream = events.open(() => access.stillAllowed(caller));
    if (stream === null) throw tooManyListeners(MAX_EVENT_LISTENERS);
    sampler.greet((sample) => stream.send("sample", sample));
    return c.body(stream.body, 200, EVENT_STREAM_HEADERS);
  });
  app.get("/audit", access.atLeast("admin"), async (c) => {
    return c.json({ entries: await auditLog.read(readAuditLimit(c.req.query("limit"))) });
  });

  return {
    app,
    close() {
      sampler.stop();
      events.close();
      traffic.close();
    },
  };
}

function page(c: Context<AdminEnv>): Response {
  if (CONSOLE_ASSETS["index.html"] !== undefined) return asset(c, "index.html");
  return c.html(plainPage());
}

function asset(c: Context<AdminEnv>, name: string): Response {
  if (!Object.hasOwn(CONSOLE_ASSETS, name)) return c.notFound() as Response;
  const { type, body } = CONSOLE_ASSETS[name];
  return c.body(body, 200, { "content-type": type });
}

function unexpected(source: AdminSource, fault: Error): AdminFailure {
  source.log("error", "an admin request failed", { reason: fault.stack ?? fault.message });
  return new AdminFailure("internal", "the request failed inside Dispa, its log says more");
}

function readAuditLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_AUDIT_ENTRIES;
  const limit = Number(text);
  if (!/^\d{1,4}$/.test(text) || limit < 1 || limit > MAX_AUDIT_ENTRIES) {
    throw new AdminFailure(
      "bad_request",
      `limit is ${JSON.stringify(text.slice(0, 100))}, wanted a number from 1 to ${MAX_AUDIT_ENTRIES}`,
    );
  }
  return limit;
}
