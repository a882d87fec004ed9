/** What would become of a request under a configuration that nothing runs with: for the command line. */
import { SlotAllocator } from "../balancing/slots.ts";
import { newActiveCounts, TargetTable } from "../balancing/target_table.ts";
import type { Config } from "../config/model.ts";
import type { ExplainQuestion, Explanation } from "../http/explanation.ts";
import { bucketBounds, MetricCells, PluginMetrics, RequestMetrics } from "../metrics/mod.ts";
import { explain } from "../proxy/explain.ts";
import { Forwarder } from "../proxy/forward.ts";
import { RemoteKeySets } from "../security/remote_keys.ts";
import { Snapshot } from "../proxy/snapshot.ts";
import { TransportSet } from "../upstream/transports.ts";
import { SharedBlocks } from "./shared_blocks.ts";
import { sharedNeeds } from "./shared_needs.ts";
import { targetGroups } from "./target_groups.ts";

/**
 * Every target counts as usable, no limit as reached.
 * @throws Error if a part of the configuration cannot be made, e.g. a plugin's module not be loaded
 */
export async function explainOffline(config: Config, question: ExplainQuestion): Promise<Explanation> {
  const table = new TargetTable();
  const slots = new SlotAllocator(table);
  const cells = new MetricCells({
    buffer: new SharedArrayBuffer(MetricCells.BYTES),
    announce: () => {},
    buckets: bucketBounds(config.monitoring.histogramBucketsMs),
  });
  const transports = new TransportSet(config.httpClient);
  const snapshot = await Snapshot.build(
    {
      generation: 1,
      config,
      targets: slots.assign(config.targets.targets),
      rotations: slots.rotations(targetGroups(config)),
      shared: new SharedBlocks(sharedNeeds(config)).buffers,
    },
    {
      table,
      counts: newActiveCounts(),
      pluginMetrics: new PluginMetrics(cells),
      remoteKeys: new RemoteKeySets({ log: () => {} }),
      circuitChanged: () => {},
      log: () => {},
    },
    transports,
  );
  try {
    return await explain(snapshot, new Forwarder(new RequestMetrics(cells)), question);
  } finally {
    transports.close();
    await snapshot.retire();
  }
}
