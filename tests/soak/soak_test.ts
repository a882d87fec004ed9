import assert from "node:assert/strict";
import { requiresThat } from "../support/skip.ts";
import { SEED } from "../support/seeded.ts";
import { soak } from "./soak.ts";

Deno.test({
  name: "twenty seconds of mixed traffic, reloads and dying targets show no fault (see deno task soak)",
  ...requiresThat(Deno.build.os === "linux", "the soak reads Linux's /proc"),
  fn: async () => {
    const report = await soak({ seconds: 20, seed: SEED, reloadEveryMs: 1_500, progress: () => {} });
    assert.equal(report.faultCount, 0, `seed ${SEED}\n${report.faults.join("\n")}`);
    assert.ok(
      report.reloads >= 5 && report.deaths > 0 && report.records > 500,
      `too little: ${report.records}`,
    );
  },
});
