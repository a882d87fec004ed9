/** /admin/config: the configuration, seen and changed. */
import { type Context, Hono } from "hono";
import { effectiveConfig } from "../config/effective.ts";
import type { Access, AdminEnv } from "./access.ts";
import { nameOf, roleOf } from "./access.ts";
import {
  CONFIG_SOURCE_HEADER,
  type ConfigApplied,
  type ConfigDiff,
  type ConfigHistory,
  type ConfigJson,
} from "./api.ts";
import type { Audit } from "./audit_trail.ts";
import { ConfigEditor, type Editor } from "./config_editor.ts";
import { AdminFailure } from "./failure.ts";
import { parseJson } from "./session_routes.ts";
import type { AdminSource } from "./source.ts";
import { configState } from "./status.ts";

const TOML_TYPE = "application/toml; charset=utf-8";
const ACCEPTED_TYPES = ["text/plain", "application/toml", "text/toml", "application/x-toml"];

export function configRoutes(source: AdminSource, access: Access, audit: Audit): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();
  const viewer = access.atLeast("viewer");
  const editor = access.atLeast("editor");
  const file = new ConfigEditor({
    path: source.health.config().path,
    load: source.load,
    config: () => source.config(),
    text: () => source.configText(),
    generation: () => source.health.config().generation,
    reload: (occasion) => source.reload(occasion),
  });

  app.get("/", viewer, async (c) => {
    const { text, etag, source } = await file.read();
    return c.body(text, 200, { "content-type": TOML_TYPE, etag, [CONFIG_SOURCE_HEADER]: source });
  });

  app.on(["PUT", "POST"], "/", editor, async (c) => {
    const type = c.req.header("content-type")?.split(";")[0].trim().toLowerCase();
    if (type !== undefined && !ACCEPTED_TYPES.includes(type)) {
      throw new AdminFailure(
        "bad_request",
        `content-type is ${JSON.stringify(type.slice(0, 100))}, wanted ${ACCEPTED_TYPES.join(", ")}`,
      );
    }
    const text = await c.req.text();
    const etag = readEtag(c.req.header("if-match"));
    if (readFlag(c.req.query("dry_run"))) {
      return c.json(await file.check(text, etag, editorOf(c)));
    }
    const applied = await file.apply(text, etag, editorOf(c));
    await audit(c, { action: "config.put", subject: applied.history_id, detail: describe(applied) });
    return c.json(applied, 200, { etag: applied.etag });
  });

  app.get("/json", viewer, (c) => {
    const environment = source.load.environment ?? Deno.env;
    const config = effectiveConfig(source.config(), source.configText(), environment);
    const answer: ConfigJson = { ...configState(source), config };
    return c.json(answer);
  });

  app.get("/history", viewer, async (c) => {
    const answer: ConfigHistory = { versions: await file.versions() };
    return c.json(answer);
  });
  app.get("/history/:id", viewer, async (c) => {
    return c.body(await file.version(c.req.param("id")), 200, { "content-type": TOML_TYPE });
  });
  app.get("/history/:id/diff", viewer, async (c) => {
    const id = c.req.param("id");
    const answer: ConfigDiff = { id, diff: await file.versionDiff(id) };
    return c.json(answer);
  });

  app.post("/rollback", editor, async (c) => {
    const body = parseJson(await c.req.text());
    if (typeof body !== "object" || body === null || !("id" in body) || typeof body.id !== "string") {
      throw new AdminFailure("bad_request", 'cannot roll back to this body, wanted JSON as {"id":"…"}');
    }
    const applied = await file.rollback(body.id, editorOf(c));
    await audit(c, { action: "config.rollback", subject: body.id, detail: describe(applied) });
    return c.json(applied, 200, { etag: applied.etag });
  });
  return app;
}

function describe({ generation }: ConfigApplied): string {
  return `generation ${generation}`;
}

function editorOf(c: Context<AdminEnv>): Editor {
  const caller = c.get("caller");
  return { role: roleOf(caller) ?? "viewer", name: nameOf(caller) };
}

/** Null: whatever the file is. */
function readEtag(ifMatch: string | undefined): string | null {
  if (ifMatch === undefined || ifMatch.trim() === "*") return null;
  // A proxy that compresses answers weakens their etags.
  return ifMatch.trim().replace(/^W\//, "");
}

function readFlag(text: string | undefined): boolean {
  if (text === undefined || text === "false" || text === "0") return false;
  if (text === "" || text === "true" || text === "1") return true;
  throw new AdminFailure(
    "bad_request",
    `dry_run is ${JSON.stringify(text.slice(0, 100))}, wanted true or false`,
  );
}
