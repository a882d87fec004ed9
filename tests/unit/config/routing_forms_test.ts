/** Forms of routing rules that are understood besides the documented one. */
import assert from "node:assert/strict";
import type { Config } from "../../../src/config/mod.ts";
import { check } from "./support.ts";

const TARGET = '\n[[targets.targets]]\nname = "backend"\nurl = "http://127.0.0.1:3000"\n';
const PLUGINS = `
[plugins]
enabled = true
[[plugins.plugins]]
name = "route-tag"
type = "headerinjector"
stage = "both"
config = { request_headers = { "x-route" = "api" } }
${TARGET}`;

/** The configuration and the warnings of its routing section. */
async function loaded(text: string): Promise<{ config: Config; warnings: string[] }> {
  const { config, errors, warnings } = await check(text);
  assert.deepEqual(errors, []);
  assert.ok(config);
  return { config, warnings: warnings.filter((line) => line.includes(" routing")) };
}

Deno.test("plugin lists below the headers of the actions, as in the seed's example, are taken for the rule's", async () => {
  const { config, warnings } = await loaded(`[routing]
enable_logging = true
default_target = "backend"

[[routing.rules]]
name = "api-rule"
priority = 100
enabled = true
target = "backend"

[routing.rules.conditions]
method = ["GET", "POST"]
[routing.rules.conditions.path]
prefix = "/api"

[routing.rules.actions]
[routing.rules.actions.headers]
set = { "x-routed" = "yes" }

# in the order of the list
routing.rules.plugins_request = ["route-tag"]
routing.rules.plugins_response = ["route-tag"]
${PLUGINS}`);
  const [rule] = config.routing.rules;
  assert.deepEqual([rule.pluginsRequest, rule.pluginsResponse], [["route-tag"], ["route-tag"]]);
  assert.deepEqual(rule.requestHeaders.set, [{ name: "x-routed", value: "yes" }]);
  assert.deepEqual(rule.conditions.path.prefix, ["/api"]);
  assert.deepEqual(
    warnings,
    ["request", "response"].map((stage, index) =>
      `x.toml:${
        21 + index
      }:1 routing.rules[0].actions.headers.routing.rules.plugins_${stage}: stands in the table ` +
      "[routing.rules.actions.headers], but is taken for the rule's own: write " +
      `plugins_${stage} = ["route-tag"] right below [[routing.rules]], before the first table of the rule`
    ),
  );
});

Deno.test("plugin lists below the path conditions, as in the seed's guide, are taken for the rule's", async () => {
  const { config, warnings } = await loaded(`[[routing.rules]]
name = "api-rule"
[routing.rules.conditions]
[routing.rules.conditions.path]
prefix = "/api"

routing.rules.plugins_request = ["route-tag", "route-tag"]
routing.rules.plugins_order = "name_asc"
routing.rules.plugins_dedup = true
${PLUGINS}`);
  const [{ pluginsRequest, pluginsOrder, pluginsDedup }] = config.routing.rules;
  assert.deepEqual([pluginsRequest, pluginsOrder, pluginsDedup], [
    ["route-tag", "route-tag"],
    "name_asc",
    true,
  ]);
  assert.equal(warnings.length, 3);
});

Deno.test("a misplaced list that is wrong is told of where it stands", async () => {
  const { errors } = await check(`[[routing.rules]]
name = "r"
actions.headers.routing.rules.plugins_request = ["route-tagg"]
${PLUGINS}`);
  assert.deepEqual(errors, [
    'x.toml:3:50 routing.rules[0].actions.headers.routing.rules.plugins_request[0]: found "route-tagg", wanted the ' +
    'name of a plugin: did you mean "route-tag"?',
  ]);
});

Deno.test("a misplaced key that the rule has itself, or that no rule has, stays an unknown key", async () => {
  const { config, warnings } = await loaded(`[[routing.rules]]
name = "r"
priority = 3
[routing.rules.actions.headers]
routing.rules.priority = 4
routing.rules.prio = 5
${TARGET}`);
  assert.equal(config.routing.rules[0].priority, 3);
  assert.deepEqual(warnings.map((line) => line.split(",")[0]), [
    "x.toml:5:1 routing.rules[0].actions.headers.routing: unknown key",
  ]);
});

Deno.test("match and transform of older documents are understood with warnings that show the new form", async () => {
  const { config, warnings } = await loaded(`[[routing.rules]]
name = "api_routes"
target = "backend"
[routing.rules.match]
path_prefix = "/api/"
path_regex = "^/api/v"
method = ["GET", "POST"]
headers = { "X-API-Version" = "v1" }
[routing.rules.transform]
add_headers = { "X-Route" = "api" }
remove_headers = ["X-Internal"]
${TARGET}`);
  const [{ conditions, requestHeaders }] = config.routing.rules;
  assert.deepEqual([conditions.path.prefix, conditions.path.regex], [["/api/"], "^/api/v"]);
  assert.deepEqual(conditions.headers.map(({ name, value }) => [name, value.exact]), [["x-api-version", [
    "v1",
  ]]]);
  assert.deepEqual(requestHeaders, {
    remove: ["x-internal"],
    set: [],
    add: [{ name: "x-route", value: "api" }],
  });
  assert.deepEqual(warnings, [
    "x.toml:4:2 routing.rules[0].match: match is the old name of conditions: write conditions",
    "x.toml:5:1 routing.rules[0].match.path_prefix: path_prefix is the old form of path.prefix: write path.prefix",
    "x.toml:6:1 routing.rules[0].match.path_regex: path_regex is the old form of path.regex: write path.regex",
    "x.toml:9:2 routing.rules[0].transform: transform is the old name of request_actions: write request_actions",
    "x.toml:10:1 routing.rules[0].transform.add_headers: add_headers is the old form of headers.add: write headers.add",
    "x.toml:11:1 routing.rules[0].transform.remove_headers: remove_headers is the old form of headers.remove: write " +
    "headers.remove",
  ]);
});

Deno.test("what is wrong in an old form is told of by the names that the file has", async () => {
  const { errors } = await check(`[[routing.rules]]
name = "r"
match.path_prefix = "api"
match.query_params = { q = [] }
transform.add_headers = { "te" = "x" }
${TARGET}`);
  assert.deepEqual(errors, [
    'x.toml:3:21 routing.rules[0].match.path_prefix: found "api", wanted a path as it is matched, which begins with "/"',
    "x.toml:4:28 routing.rules[0].match.query_params.q: found a list of 0 entries, wanted text in quotes, or a list of " +
    "1 to 100 of them",
    'x.toml:5:34 routing.rules[0].transform.add_headers.te: found "x", wanted another header: only the ' +
    "proxy itself writes te",
  ]);
});

Deno.test("an old name beside the new one is an unknown key", async () => {
  const { warnings } = await check(
    `[[routing.rules]]\nname = "r"\nconditions.method = "GET"\nmatch.method = "POST"\n${TARGET}`,
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /^x\.toml:4:1 routing\.rules\[0\]\.match: unknown key/);
});
