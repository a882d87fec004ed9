/** The metrics port: `/metrics` for Prometheus, `/metrics/json` for everything else, `/admin` for operators. */
import { Hono } from "hono";
import type { AdminEnv } from "./access.ts";

export interface MetricsSource {
  /** Prometheus text format 0.0.4. */
  text(): string;
  json(): unknown;
  /** The app under /admin, which is not loaded before somebody asks for it. */
  admin(): Promise<Hono<AdminEnv>>;
}

export function metricsApp(source: MetricsSource): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();
  app.get("/metrics", (c) => {
    c.header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(source.text());
  });
  app.get("/metrics/json", (c) => c.json(source.json()));
  app.get("/", (c) => c.redirect("/admin"));
  app.get("/admin/", (c) => c.redirect("/admin", 308));
  for (const path of ["/admin", "/admin/*"]) {
    app.all(path, async (c) => (await source.admin()).fetch(c.req.raw, c.env));
  }
  app.notFound((c) => c.text("Not found: this port answers /metrics, /metrics/json and /admin\n", 404));
  return app;
}
