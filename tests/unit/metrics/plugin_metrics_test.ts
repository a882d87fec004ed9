import assert from "node:assert/strict";
import { FAMILIES, PluginMetrics } from "../../../src/metrics/mod.ts";
import { Metrics } from "./support.ts";

Deno.test("calls, short circuits, errors and durations of plugins are counted by name and stage", () => {
  const metrics = new Metrics();
  const plugins = new PluginMetrics(metrics.thread(1));
  const request = plugins.stage("p", "request");
  plugins.stage("p", "response").called(1);
  for (const durationMs of [0.001, 0.02, 5000]) request.called(durationMs);
  request.shortCircuited();
  request.failed("io");
  request.failed("io");
  request.failed("timeout");
  // A new generation of the configuration goes on where the old one was.
  plugins.stage("p", "request").called(0.02);
  assert.deepEqual(metrics.scalars(FAMILIES.pluginInvocations), { "p,request": 4, "p,response": 1 });
  assert.deepEqual(metrics.scalars(FAMILIES.pluginShortCircuits), { "p,request": 1, "p,response": 0 });
  assert.deepEqual(metrics.scalars(FAMILIES.pluginErrors), { "p,request,io": 2, "p,request,timeout": 1 });
  const [durations] = metrics.histograms(FAMILIES.pluginDuration);
  assert.deepEqual(durations.labels, ["p", "request"]);
  assert.deepEqual([durations.counts[0], durations.counts[1], durations.counts.at(-1)], [1, 2, 1]);
  assert.equal(durations.sum, 5000.041);
});

Deno.test("runs of a plugin's program are counted, time-outs twice, and nothing is there before the first", () => {
  const metrics = new Metrics();
  const command = new PluginMetrics(metrics.thread(1)).command("cmd");
  assert.deepEqual(metrics.scalars(FAMILIES.pluginCommandErrors), {});
  assert.deepEqual(metrics.histograms(FAMILIES.pluginCommandDuration), []);
  command.ran(3);
  command.ran(7);
  command.failed("exec");
  command.failed("timeout");
  assert.deepEqual(metrics.scalars(FAMILIES.pluginCommandErrors), { "cmd,exec": 1, "cmd,timeout": 1 });
  assert.deepEqual(metrics.scalars(FAMILIES.pluginCommandTimeouts), { cmd: 1 });
  const [durations] = metrics.histograms(FAMILIES.pluginCommandDuration);
  assert.deepEqual([durations.labels, durations.sum], [["cmd"], 10]);
});
