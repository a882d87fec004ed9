import { deepEqual } from "node:assert/strict";
import { FAMILIES } from "../../../src/metrics/families.ts";
import { WebSocketMetrics } from "../../../src/metrics/websocket_metrics.ts";
import { Metrics } from "./support.ts";

Deno.test("WebSocketMetrics counts what is open, what passed each way and why it ended, over all threads", () => {
  const metrics = new Metrics();
  const [one, two] = [new WebSocketMetrics(metrics.thread(1)), new WebSocketMetrics(metrics.thread(2))];
  deepEqual(metrics.scalars(FAMILIES.websocketConnections), { "": 0 });
  one.opened();
  one.opened();
  two.opened();
  one.message("to_target", 10);
  one.message("to_target", 0);
  two.message("to_target", 5);
  two.message("to_client", 7);
  one.closed("client_closed");
  two.closed("target_lost");
  deepEqual(metrics.scalars(FAMILIES.websocketConnections), { "": 1 });
  deepEqual(metrics.scalars(FAMILIES.websocketMessages), { to_target: 3, to_client: 1 });
  deepEqual(metrics.scalars(FAMILIES.websocketBytes), { to_target: 15, to_client: 7 });
  deepEqual(metrics.scalars(FAMILIES.websocketClosed), { client_closed: 1, target_lost: 1 });
});
