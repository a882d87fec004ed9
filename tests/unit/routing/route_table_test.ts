import assert from "node:assert/strict";
import { explained, request, type RequestParts, tableOf, tableOfRule } from "./support.ts";

Deno.test("the largest priority comes first, equal ones in the order of the file", async () => {
  const rule = (name: string, priority: number, prefix: string) =>
    `[[routing.rules]]\nname = "${name}"\npriority = ${priority}\nconditions.path.prefix = "${prefix}"\n`;
  const table = await tableOf(
    rule("low", -1, "/a") + rule("first", 5, "/a/b") + rule("second", 5, "/a") + rule("middle", 0, "/"),
  );
  assert.deepEqual(table.routes.map(({ name }) => name), ["first", "second", "middle", "low"]);
  assert.equal(table.match(request({ target: "/a/b" }))?.name, "first");
  assert.equal(table.match(request({ target: "/a/c" }))?.name, "second");
  assert.equal(table.match(request({ target: "/c" }))?.name, "middle");
});

Deno.test("a disabled rule takes nothing, and an explanation says that it is disabled", async () => {
  const table = await tableOf(
    '[[routing.rules]]\nname = "off"\nenabled = false\n[[routing.rules]]\nname = "on"\nconditions.method = "GET"\n' +
      '[[routing.rules]]\nname = "later"\nconditions.method = "GET"\n',
  );
  assert.equal(table.match(request())?.name, "on");
  assert.deepEqual(explained(table, request()), ["off: disabled", "on: matched"]);
});

Deno.test("with routing disabled no rule is tried and requests go to all targets", async () => {
  const table = await tableOf(
    '[routing]\nenabled = false\nenable_logging = true\ndefault_target = "a"\n[[routing.rules]]\nname = "r"\n',
  );
  assert.equal(table.match(request()), null);
  assert.deepEqual(explained(table, request()), []);
  assert.deepEqual([table.defaultTargets.names, table.logsDecisions], [null, false]);
});

Deno.test("requests that no rule takes, or whose rule names no target, go to the default target", async () => {
  const rule = '[[routing.rules]]\nname = "r"\nconditions.method = "PUT"\n';
  const table = await tableOf(`[routing]\ndefault_target = "b"\nenable_logging = true\n${rule}`);
  assert.equal(table.match(request()), null);
  assert.deepEqual([table.defaultTargets.names, table.logsDecisions], [["b"], true]);
  const put = request({ method: "PUT" });
  assert.equal(table.match(put)?.chooseTargets(put), table.defaultTargets);
  const without = await tableOf(rule);
  assert.deepEqual(without.defaultTargets, { index: 0, names: null });
  assert.equal(without.match(put)?.chooseTargets(put), without.targetSets[0]);
});

Deno.test("a rule names its targets one by one, several at once, or by group", async () => {
  for (
    const [keys, names] of [
      ['target = "b"', ["b"]],
      ['targets = ["c", "a", "c"]', ["a", "c"]],
      ['group = "late"', ["c", "d"]],
    ] satisfies [string, string[]][]
  ) {
    const table = await tableOfRule(keys);
    const set = table.match(request())?.chooseTargets(request());
    assert.deepEqual(set?.names, names, keys);
    assert.ok(set && table.targetSets[set.index] === set);
  }
});

Deno.test("equal sets of targets are one set", async () => {
  const table = await tableOf(
    '[routing]\ndefault_target = "a"\n' +
      [
        'targets = ["d", "c"]',
        'group = "late"',
        'target = "a"',
        'split = [{ target = "a", weight = 1 }, { group = "late", weight = 1 }]',
      ]
        .map((keys, index) =>
          `[[routing.rules]]\nname = "r${index}"\npriority = ${-index}\nconditions.method = "X${index}"\n${keys}\n`
        )
        .join(""),
  );
  assert.deepEqual(table.targetSets, [
    { index: 0, names: null },
    { index: 1, names: ["a"] },
    { index: 2, names: ["c", "d"] },
  ]);
});

Deno.test("a mirror says where the copies go, how many, and how large they may be", async () => {
  const mirrorOf = async (keys: string) => (await tableOfRule(keys)).match(request())?.mirror;
  assert.deepEqual(await mirrorOf('mirror = { target = "b", percent = 2.5, max_body_bytes = 10 }'), {
    target: "b",
    share: 0.025,
    maxBodyBytes: 10,
  });
  assert.deepEqual(await mirrorOf('mirror.target = "b"'), { target: "b", share: 1, maxBodyBytes: 1_048_576 });
  assert.equal(await mirrorOf('target = "b"'), null);
});

Deno.test("a rule's plugins run as listed or by name, twice or once", async () => {
  const lists = 'plugins_request = ["q", "p", "z", "p"]\nplugins_response = ["p", "q"]\n';
  for (
    const [keys, onRequest, onResponse] of [
      ["", ["q", "p", "z", "p"], ["p", "q"]],
      ["plugins_dedup = true", ["q", "p", "z"], ["p", "q"]],
      ['plugins_order = "name_asc"', ["p", "p", "q", "z"], ["p", "q"]],
      ['plugins_order = "name_desc"\nplugins_dedup = true', ["z", "q", "p"], ["q", "p"]],
    ] satisfies [string, string[], string[]][]
  ) {
    const route = (await tableOfRule(lists + keys)).match(request());
    assert.deepEqual([route?.pluginsRequest, route?.pluginsResponse], [onRequest, onResponse], keys);
  }
});

const SPLIT =
  'split = [{ target = "a", weight = 1 }, { target = "b", weight = 0 }, { group = "late", weight = 3 }]\n';

Deno.test("a split shares requests out by weight, and a weight of 0 gets none", async () => {
  const route = (await tableOfRule(SPLIT)).match(request());
  const at = (random: number) => route?.chooseTargets(request(), () => random).names;
  assert.deepEqual([at(0), at(0.2499), at(0.25), at(0.999999999)], [["a"], ["a"], ["c", "d"], ["c", "d"]]);
});

Deno.test("a sticky split sends a client to the same part each time, and clients to all parts by weight", async () => {
  for (
    const [sticky, clientOf] of [
      ["ip", (n) => ({ clientIp: `10.0.${n >> 8}.${n & 255}` })],
      ["header:X-User", (n) => ({ headers: ["x-user", `user-${n}`] })],
      ["cookie:sid", (n) => ({ headers: ["cookie", `a=b; sid=${n}; sidx=1`] })],
    ] satisfies [string, (n: number) => RequestParts][]
  ) {
    const route = (await tableOfRule(`${SPLIT}split_sticky = "${sticky}"`)).match(request());
    assert.ok(route);
    const fail = () => assert.fail("a sticky split needs no chance");
    const parts = Array.from({ length: 4000 }, (_, n) => {
      const chosen = route.chooseTargets(request(clientOf(n)), fail);
      assert.equal(route.chooseTargets(request({ ...clientOf(n), target: "/other" }), fail), chosen);
      return chosen.names?.join();
    });
    const share = parts.filter((names) => names === "a").length / parts.length;
    assert.ok(Math.abs(share - 0.25) < 0.03, `${sticky}: ${share}`);
  }
});

Deno.test("a client without the sticky header or cookie goes by its address", async () => {
  for (const sticky of ["header:x-user", "cookie:sid"]) {
    const route = (await tableOfRule(`${SPLIT}split_sticky = "${sticky}"`)).match(request());
    const chosen = new Set(
      Array.from({ length: 64 }, (_, n) => {
        const clientIp = `10.0.0.${n}`;
        const sets = [[], ["cookie", "xsid=1"]].map((headers) =>
          route?.chooseTargets(request({ clientIp, headers }))
        );
        assert.equal(sets[0], sets[1]);
        return sets[0];
      }),
    );
    assert.equal(chosen.size, 2, sticky);
  }
});

Deno.test("two rules do not choose the same clients for their small parts", async () => {
  const table = await tableOf(
    ["one", "two"].map((name) =>
      `[[routing.rules]]\nname = "${name}"\nconditions.path.exact = "/${name}"\n` +
      'split = [{ target = "a", weight = 1 }, { target = "b", weight = 1 }]\nsplit_sticky = "ip"\n'
    ).join(""),
  );
  const partOf = (name: string, n: number) => {
    const message = request({ target: `/${name}`, clientIp: `10.0.0.${n}` });
    return table.match(message)?.chooseTargets(message).names?.join();
  };
  const same =
    Array.from({ length: 256 }, (_, n) => partOf("one", n) === partOf("two", n)).filter(Boolean).length;
  assert.ok(same > 90 && same < 166, `${same} of 256`);
});
