import assert from "node:assert/strict";
import type { Config } from "../../../src/config/mod.ts";
import { accepted, check, ONE_TARGET } from "./support.ts";

const spellings: [text: string, pick: (config: Config) => unknown, value: unknown][] = [
  ['server.bind = ":81"', (c) => c.server.bind, { hostname: "0.0.0.0", port: 81 }],
  ['server.bind_address = ":81"', (c) => c.server.bind, { hostname: "0.0.0.0", port: 81 }],
  ...["type", "algorithm", "lb_type"].flatMap((key) =>
    Object.entries({
      "roundrobin": "roundrobin",
      "RoundRobin": "roundrobin",
      "round_robin": "roundrobin",
      "round-robin": "roundrobin",
      "Weighted": "weighted",
      "WeightedRoundRobin": "weighted",
      "weighted_round_robin": "weighted",
      "RANDOM": "random",
      "LeastConnections": "leastconnections",
      "least-connections": "leastconnections",
    }).map(([word, meant]): [string, (config: Config) => unknown, unknown] => [
      `targets.load_balancing.${key} = "${word}"`,
      (c) => c.targets.balancing.type,
      meant,
    ])
  ),
  ['logging.type = "Database"', (c) => c.logging.type, "database"],
  ['logging.log_type = "Both"', (c) => c.logging.type, "both"],
  ['logging.level = "WARNING"', (c) => c.logging.level, "warn"],
  ['domains = { wildcard_support = false, intercept_domains = ["a.de"] }', (c) => c.domains.intercept, [
    "a.de",
  ]],
  ['domains = { enable_wildcard = true, intercept_domains = ["*.de"] }', (c) => c.domains.intercept, [
    "*.de",
  ]],
  ...["HeaderInjector", "headerinjector", "header_injector", "HEADER-INJECTOR"].map((
    word,
  ): [string, (config: Config) => unknown, unknown] => [
    `plugins.plugins = [{ name = "p", type = "${word}", stage = "Both" }]`,
    (c) => [c.plugins.plugins[0].type, c.plugins.plugins[0].stage],
    ["headerinjector", "both"],
  ]),
];

for (const [text, pick, value] of spellings) {
  Deno.test(`the spelling ${text} is accepted`, async () => {
    assert.deepEqual(pick(await accepted(`${text}\n${ONE_TARGET}`)), value);
  });
}

Deno.test("a target may say address for url", async () => {
  const config = await accepted('[[targets.targets]]\nname = "a"\naddress = "http://10.0.0.1"\n');
  assert.equal(config.targets.targets[0].url, "http://10.0.0.1");
});

Deno.test("two spellings of a key that say the same are accepted", async () => {
  const config = await accepted(
    'targets.load_balancing = { algorithm = "Weighted", lb_type = "weighted" }\n' +
      '[[targets.targets]]\nname = "a"\naddress = "http://10.0.0.1/"\nurl = "http://10.0.0.1"\n',
  );
  assert.equal(config.targets.balancing.type, "weighted");
  assert.equal(config.targets.targets[0].url, "http://10.0.0.1");
});

Deno.test("two spellings of a key that say different things are refused", async () => {
  const { errors } = await check(
    'server = { bind = ":81", bind_address = ":82" }\n' +
      'targets.load_balancing = { type = "random", lb_type = "Weighted" }\n' +
      '[[targets.targets]]\nname = "a"\naddress = "http://10.0.0.1/"\nurl = "http://10.0.0.2"\n',
  );
  assert.deepEqual(errors, [
    'x.toml:1:41 server.bind_address: found ":82", but bind, which means the same, is ":81": wanted only one of them',
    'x.toml:2:55 targets.load_balancing.lb_type: found "Weighted", but type, which means the same, is "random": ' +
    "wanted only one of them",
    'x.toml:6:7 targets.targets[0].url: found "http://10.0.0.2", but address, which means the same, is ' +
    '"http://10.0.0.1/": wanted only one of them',
  ]);
});
