/** Name servers that fail, change their minds or say nothing: only who needs that very name waits or is refused. */
import assert from "node:assert/strict";
import { Dispa } from "../support/dispa.ts";
import { eventually } from "../support/eventually.ts";
import { Footprint } from "../support/footprint.ts";
import { NameServer } from "../support/name_server.ts";
import { requiresNamespaces } from "../support/namespaces.ts";
import { SteadyClients } from "../support/steady_clients.ts";
import { rawExchange } from "../support/targets.ts";
import { ok, RawUpstream } from "../support/upstream.ts";

const NEEDS_NAMESPACES = requiresNamespaces();
const GROWTH_MIB = { http1: 64, fetch: 192 };

/** Rules `/<target>` for each target; `/` is the first one's. */
function toml(targets: Record<string, string>, httpClient: string): string {
  const names = Object.keys(targets);
  const rules = names.map((name) =>
    `[[routing.rules]]\nname = "${name}"\nconditions.path.prefix = "/${name}"\ntarget = "${name}"\n`
  );
  const list = names.map((name) =>
    `[[targets.targets]]\nname = "${name}"\nurl = "${targets[name]}"\ntimeout = 1\n`
  );
  return `
[domains]
intercept_domains = ["example.com"]
[http_client]
pool_idle_timeout_secs = 0.3
${httpClient}
[targets.health_check]
enabled = false
[routing]
default_target = "${names[0]}"
${rules.join("")}${list.join("")}`;
}

for (const transport of ["http1", "fetch"] as const) {
  Deno.test({
    name: `${transport}: a name is unknown, known, elsewhere, and its server fails`,
    ...NEEDS_NAMESPACES,
    fn: async () => {
      await using names = new NameServer();
      await using good = new RawUpstream(() => ok("hello"));
      await using first = new RawUpstream(() => ok("first"));
      await using second = new RawUpstream(() => ok("second"), first.port, "127.0.0.2");
      await using dispa = await Dispa.start({
        toml: toml(
          { good: good.url, moving: `http://moving.test:${first.port}` },
          `transport = "${transport}"`,
        ),
        under: names.under,
        // Each thread has connections of its own, and lets them go in its own time.
        workers: 1,
      });
      {
        await using warm = new SteadyClients(dispa.port, "example.com");
        await warm.served(100);
        await warm.stop();
      }
      const footprint = await Footprint.of(dispa);
      await using others = new SteadyClients(dispa.port, "example.com", "/good", 2);
      await others.served(10);
      let number = 0;
      const ask = async () => {
        const path = `/moving/${++number}`;
        const { status, code, body } = await rawExchange(dispa, { path });
        const { error_message } = await dispa.record(path, (record) => record.path === path);
        return { status, code, body, message: error_message };
      };
      const refused = async () => {
        const { status, code, message } = await ask();
        assert.deepEqual([status, code], [502, "connect_refused"]);
        assert.match(message!, /^connect_refused: .*moving\.test.* \[phase=dns/);
        await others.served(10);
      };
      await refused();
      names.answers.set("moving.test", ["127.0.0.1"]);
      assert.equal((await ask()).body, "first");
      // Connections that are open are used on; there are none once they have been idle for long enough.
      names.answers.set("moving.test", ["127.0.0.2"]);
      await eventually("its connections are closed", () => first.open.size === 0);
      assert.equal((await ask()).body, "second");
      names.answers.set("moving.test", "servfail");
      await eventually("its connections are closed", () => second.open.size === 0);
      await refused();
      // Whichever comes first of several addresses: nobody listens on the two others.
      names.answers.set("moving.test", ["127.0.0.3", "127.0.0.2", "127.0.0.4"]);
      assert.equal((await ask()).body, "second");
      await others.served(10);
      await others.stop();
      await footprint.restored(dispa, GROWTH_MIB[transport]);
      assert.equal(await dispa.stop("SIGTERM"), 0);
    },
  });
}

Deno.test({
  name: "no name server answers for one name: a crowd for it is refused in time, and other names are found",
  ...NEEDS_NAMESPACES,
  fn: async () => {
    await using names = new NameServer();
    names.answers.set("silent.test", "silence");
    names.answers.set("found.test", ["127.0.0.1"]);
    await using upstream = new RawUpstream(() => ok("hello", { connection: "close" }));
    await using dispa = await Dispa.start({
      toml: toml(
        { found: `http://found.test:${upstream.port}`, silent: `http://silent.test:${upstream.port}` },
        "connect_timeout_secs = 1",
      ),
      under: names.under,
    });
    const footprint = await Footprint.of(dispa);
    const crowd = Array.from({ length: 200 }, () => rawExchange(dispa, { path: "/silent" }));
    await eventually("it is looked up", () => (names.asked.get("silent.test") ?? 0) > 0);
    const first = Promise.race(crowd).then(() => "silent");
    // Each is looked up anew, as its connection is closed behind the answer.
    const found = Promise.all(Array.from({ length: 20 }, () => rawExchange(dispa, { path: "/found" })));
    assert.equal(await Promise.race([first, found.then(() => "found")]), "found");
    for (const { status, body } of await found) assert.deepEqual([status, body], [200, "hello"]);
    for (const { status, code } of await Promise.all(crowd)) {
      assert.deepEqual([status, code], [502, "connect_timeout"]);
    }
    names.answers.set("silent.test", ["127.0.0.1"]);
    await eventually(
      "it is found again",
      async () => (await rawExchange(dispa, { path: "/silent" })).status === 200,
    );
    await footprint.restored(dispa);
    assert.equal(await dispa.stop("SIGTERM"), 0);
  },
});
