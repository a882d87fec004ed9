/** The metrics port: `/metrics` for Prometheus, `/metrics/json` for everything else. */
import { Hono } from "hono";

export interface MetricsSource {
  /** Prometheus text format 0.0.4. */
  text(): string;
  json(): unknown;
}

export function metricsApp(source: MetricsSource): Hono {
  const app = new Hono();
  app.get("/metrics", (c) => {
    c.header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    return c.body(source.text());
  });
  app.get("/metrics/json", (c) => c.json(source.json()));
  app.notFound((c) => c.text("Not found: this port answers /metrics and /metrics/json\n", 404));
  return app;
}
