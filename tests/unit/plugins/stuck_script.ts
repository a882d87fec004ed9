/**
 * A program of its own for a test: runs a script plugin whose threads cannot be ended (`plugin_threads.ts`), so that
 * they end with this process. Prints the outcome of each call, then what was logged, as JSON lines.
 */
import { scriptSettings } from "../../../src/config/plugins/script.ts";
import { script } from "../../../src/plugins/script.ts";
import { requestMessage } from "../../support/messages.ts";

const settings = scriptSettings.parse({ module: Deno.args[0], timeout_ms: 300, threads: 1 });
const logged: string[] = [];
const plugin = await script.create(settings, {
  name: "stuck",
  shared: null,
  log: (level, message) => logged.push(`${level}: ${message}`),
  commandMetrics: { ran: () => {}, failed: () => {} },
});
const call = async (target: string) => {
  try {
    await plugin.onRequest?.(requestMessage({ target }));
    console.log(JSON.stringify([target, "ok"]));
  } catch (fault) {
    console.log(JSON.stringify([target, String(fault)]));
  }
};
for (let i = 0; i < 3; i++) {
  await call("/good");
  await call("/hang");
}
await call("/good");
console.log(JSON.stringify(logged));
Deno.exit(0);
