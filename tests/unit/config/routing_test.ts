import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "smol-toml";
import { printConfig } from "../../../src/config/mod.ts";
import { escapeVariables } from "../../../src/config/tree.ts";
import { accepted, check } from "./support.ts";

/** Stands after what a test is about, so that lines count from there. */
const TARGETS = `
[[targets.targets]]
name = "a"
url = "http://10.0.0.1"
group = "main"
[[targets.targets]]
name = "b"
url = "http://10.0.0.2"
`;

const NO_TEXT = { exact: [], prefix: [], suffix: [], contains: [], regex: null };

Deno.test("a rule with a name alone has every default", async () => {
  const { routing } = await accepted(`[[routing.rules]]\nname = "r"\n${TARGETS}`);
  assert.deepEqual(routing, {
    enabled: true,
    enableLogging: false,
    defaultTarget: null,
    rules: [{
      name: "r",
      priority: 0,
      enabled: true,
      conditions: { methods: [], host: NO_TEXT, path: NO_TEXT, clientIps: [], headers: [], queryParams: [] },
      targets: { by: "all" },
      mirror: null,
      requestHeaders: { remove: [], set: [], add: [] },
      requestPath: {
        replacePrefix: null,
        replaceSuffix: null,
        regexReplace: null,
        addPrefix: "",
        addSuffix: "",
      },
      responseHeaders: { remove: [], set: [], add: [] },
      customResponse: null,
      redirect: null,
      pluginsRequest: [],
      pluginsResponse: [],
      pluginsOrder: "as_listed",
      pluginsDedup: false,
    }],
  });
});

Deno.test("every key of a rule can be set", async () => {
  const { config, errors } = await check(`
[plugins]
enabled = true
[[plugins.plugins]]
name = "p"
type = "headerinjector"
stage = "both"
[routing]
enabled = true
enable_logging = true
default_target = "b"
[[routing.rules]]
name = "r"
priority = -5
enabled = true
plugins_request = ["p", "p"]
plugins_response = ["p"]
plugins_order = "Name_Desc"
plugins_dedup = true
split = [{ target = "a", weight = 9.5 }, { group = "main", weight = 0 }]
split_sticky = "cookie:Session"
[routing.rules.conditions]
method = ["get", "POST"]
host = { exact = "Shop.Example.COM.", regex = "^shop", contains = "SHOP" }
client_ip = ["10.1.2.3/8", "10.0.0.*", "2001:DB8:0::/32"]
headers = [
  { name = "X-A", value = "1" },
  { name = "x-b", value = ["1", "2"] },
  { name = "x-c", value = { contains = "c", starts_with = "s", ends_with = "e" }, value_regex = "r" },
  { name = "x-d", exists = false },
  { name = "x-e" },
]
query_params = [{ name = "q", value = "ä b" }, { name = "R", value_regex = "^r$" }]
[routing.rules.conditions.path]
exact = ["/a b", "/ä"]
prefix = "/"
suffix = "."
contains = "a/"
regex = "^/"
[routing.rules.mirror]
target = "b"
sample = 2.5
max_body_bytes = 0
[routing.rules.actions]
headers = { add = { "X-Add" = "1" }, set = { Host = "h:81" }, remove = ["X-Gone"] }
path.replace_prefix = { from = "/x", to = "" }
path.replace_suffix = { pattern = ".a", replacement = ".b" }
path.regex_replace = { pattern = "(?<n>x)", replacement = "$1$<n>$0$$" }
path.add_prefix = "/p"
path.add_suffix = "/"
[routing.rules.response_actions.headers]
add = { "set-cookie" = "a=b" }
set = { "x-s" = "" }
remove = ["Server"]
[[routing.rules]]
name = "answer"
priority = -6
custom_response = { status_code = 404, headers = { "X-A" = "1" }, body = "no", content_type = "text/html" }
target = "a"
[[routing.rules]]
name = "redirect"
enabled = false
redirect = { location = "{scheme}://{host}{path}{query}", status_code = 308 }
[[routing.rules]]
name = "group"
enabled = false
group = "main"
[[routing.rules]]
name = "several"
enabled = false
targets = ["a", "b"]
${TARGETS}`);
  assert.deepEqual(errors, []);
  assert.ok(config);
  const { routing, targets } = config;
  const [rule, answer, redirect, group, several] = routing.rules;
  assert.deepEqual([routing.enableLogging, routing.defaultTarget], [true, "b"]);
  assert.deepEqual(targets.targets.map((target) => target.group), ["main", null]);
  assert.deepEqual(rule, {
    name: "r",
    priority: -5,
    enabled: true,
    conditions: {
      methods: ["GET", "POST"],
      host: { ...NO_TEXT, exact: ["shop.example.com"], contains: ["shop"], regex: "^shop" },
      path: { exact: ["/a b", "/ä"], prefix: ["/"], suffix: ["."], contains: ["a/"], regex: "^/" },
      clientIps: ["10.0.0.0/8", "10.0.0.0/24", "2001:db8::/32"],
      headers: [
        { name: "x-a", exists: true, value: { ...NO_TEXT, exact: ["1"] } },
        { name: "x-b", exists: true, value: { ...NO_TEXT, exact: ["1", "2"] } },
        {
          name: "x-c",
          exists: true,
          value: { exact: [], prefix: ["s"], suffix: ["e"], contains: ["c"], regex: "r" },
        },
        { name: "x-d", exists: false, value: NO_TEXT },
        { name: "x-e", exists: true, value: NO_TEXT },
      ],
      queryParams: [
        { name: "q", exists: true, value: { ...NO_TEXT, exact: ["ä b"] } },
        { name: "R", exists: true, value: { ...NO_TEXT, regex: "^r$" } },
      ],
    },
    targets: {
      by: "split",
      parts: [
        { choice: { by: "target", target: "a" }, weight: 9.5 },
        { choice: { by: "group", group: "main" }, weight: 0 },
      ],
      sticky: { by: "cookie", name: "Session" },
    },
    mirror: { target: "b", percent: 2.5, maxBodyBytes: 0 },
    requestHeaders: {
      remove: ["x-gone"],
      set: [{ name: "host", value: "h:81" }],
      add: [{ name: "x-add", value: "1" }],
    },
    requestPath: {
      replacePrefix: { pattern: "/x", replacement: "" },
      replaceSuffix: { pattern: ".a", replacement: ".b" },
      regexReplace: { pattern: "(?<n>x)", replacement: "$1$<n>$0$$" },
      addPrefix: "/p",
      addSuffix: "/",
    },
    responseHeaders: {
      remove: ["server"],
      set: [{ name: "x-s", value: "" }],
      add: [{ name: "set-cookie", value: "a=b" }],
    },
    customResponse: null,
    redirect: null,
    pluginsRequest: ["p", "p"],
    pluginsResponse: ["p"],
    pluginsOrder: "name_desc",
    pluginsDedup: true,
  });
  assert.deepEqual(answer.customResponse, {
    status: 404,
    headers: [{ name: "x-a", value: "1" }],
    body: "no",
    contentType: "text/html",
  });
  assert.deepEqual(redirect.redirect, { to: "{scheme}://{host}{path}{query}", status: 308 });
  assert.deepEqual([group.targets, several.targets], [
    { by: "group", group: "main" },
    { by: "targets", targets: ["a", "b"] },
  ]);
});

/** A key of a rule, the value it has, and the message for it, which begins with the line and the key. */
const refused: [text: string, message: string][] = [
  ['name = ""', 'name: found "", wanted 1 to 128 printable characters without space at either end'],
  ["priority = 1.5", "priority: found 1.5, wanted a whole number from -1000000 to 1000000"],
  [
    'conditions.path.exact = "a"',
    'conditions.path.exact: found "a", wanted a path as it is matched, which begins with "/"',
  ],
  [
    'conditions.path.prefix = "/a%20b"',
    'conditions.path.prefix: found "/a%20b", wanted a path as it is matched, percent-decoded (write the character itself)',
  ],
  [
    'conditions.path.prefix = "/a?b"',
    'conditions.path.prefix: found "/a?b", wanted a path as it is matched, without ? and #; what follows a ? is for query_params',
  ],
  [
    'conditions.path.contains = "a//b"',
    'conditions.path.contains: found "a//b", wanted a path as it is matched, without // and \\',
  ],
  [
    'conditions.path.exact = "/a/.."',
    'conditions.path.exact: found "/a/..", wanted a path as it is matched, without "." and ".." segments',
  ],
  [
    'conditions.path.prefix = "/a/./b"',
    'conditions.path.prefix: found "/a/./b", wanted a path as it is matched, without "." and ".." segments',
  ],
  [
    "conditions.path.prefix = []",
    "conditions.path.prefix: found a list of 0 entries, wanted a path in quotes, or a list of 1 to 100 of them",
  ],
  [
    'conditions.path.prefix = ["/a", 1]',
    "conditions.path.prefix[1]: found 1, wanted a path in quotes, or a list of 1 to 100 of them",
  ],
  [
    'conditions.path.regex = "(a"',
    'conditions.path.regex: found "(a", wanted a regular expression: this group is not closed (character 1)',
  ],
  ['conditions.path.prefx = "/a"', "conditions.path.prefx: unknown key, did you mean prefix?"],
  ['conditions.pth = { exact = "/a" }', "conditions.pth: unknown key, did you mean path?"],
  [
    'conditions.host.exact = "*.example.com"',
    'conditions.host.exact: found "*.example.com", wanted a whole host name; parts of one are for contains and regex',
  ],
  [
    'conditions.host.exact = "a:80"',
    'conditions.host.exact: found "a:80", wanted a domain such as "example.com", "*.example.com", "example.*" or "*", without a port',
  ],
  [
    'conditions.host.regex = "["',
    'conditions.host.regex: found "[", wanted a regular expression: this [ is not closed (character 1)',
  ],
  [
    'conditions.host.contains = "a/b"',
    'conditions.host.contains: found "a/b", wanted a part of a host name in ASCII, without a port',
  ],
  ['conditions.method = ["G T"]', 'conditions.method[0]: found "G T", wanted a method such as "GET"'],
  [
    'conditions.client_ip = "10.0.0"',
    'conditions.client_ip: found "10.0.0", wanted an address, a CIDR range or a pattern such as "192.0.2.7", "10.0.0.0/8", "192.168.1.*" or "2001:db8::/32"',
  ],
  [
    'conditions.headers = [{ name = "content-length" }]',
    'conditions.headers[0].name: found "content-length", wanted another header: only the proxy itself writes content-length',
  ],
  [
    'conditions.headers = [{ name = "x", value = 1 }]',
    "conditions.headers[0].value: found 1, wanted text in quotes, or a list of 1 to 100 of them",
  ],
  [
    'conditions.headers = [{ name = "x", value = { contains = "" } }]',
    'conditions.headers[0].value.contains: found "", wanted at least one character',
  ],
  [
    'conditions.headers = [{ name = "x", value = "1", exists = false }]',
    "conditions.headers[0].exists: found false beside a value, wanted exists = false alone",
  ],
  [
    'conditions.headers = { "x" = true }',
    "conditions.headers.x: found true, wanted text in quotes, or a list of 1 to 100 of them",
  ],
  [
    'conditions.query_params = [{ value = "x" }]',
    "conditions.query_params[0].name: missing, wanted a name in quotes",
  ],
  [
    'conditions.query_params = [{ name = "x", value_regex = "a**" }]',
    'conditions.query_params[0].value_regex: found "a**", wanted a regular expression: there is a second repetition for the same thing (character 3)',
  ],
  ['target = "aa"', 'target: found "aa", wanted the name of a target: did you mean "a"?'],
  [
    'targets = ["a", "backend"]',
    'targets[1]: found "backend", wanted the name of a target: known are "a", "b"',
  ],
  ["targets = []", "targets: found a list of 0 entries, wanted at least one name"],
  ['group = "man"', 'group: found "man", wanted the name of a group: did you mean "main"?'],
  [
    'target = "a"\ngroup = "main"',
    "group: found beside target, wanted only one of target, targets, group and split",
  ],
  ['split = [{ target = "a", weight = 0 }]', "split: every weight is 0, wanted one above 0"],
  ['split = [{ target = "a" }]', "split[0].weight: missing, wanted a number from 0 to 1000000"],
  ['split = [{ target = "a", group = "main", weight = 1 }]', "split[0]: wanted one of target and group"],
  ["split = [{ weight = 1 }]", "split[0]: wanted one of target and group"],
  [
    'split = [{ target = "c", weight = 1 }]',
    'split[0].target: found "c", wanted the name of a target: did you mean "a"?',
  ],
  [
    'split = [{ target = "a", weight = 1 }]\nsplit_sticky = "cookie:"',
    'split_sticky: found "cookie:", wanted "none", "ip", "header:NAME" or "cookie:NAME"',
  ],
  [
    'mirror = { target = "zzzz" }',
    'mirror.target: found "zzzz", wanted the name of a target: known are "a", "b"',
  ],
  ['mirror = { target = "a", percent = 101 }', "mirror.percent: found 101, wanted a number from 0 to 100"],
  [
    'actions.headers.set = { "content-length" = "3" }',
    'actions.headers.set.content-length: found "3", wanted another header: only the proxy itself writes content-length',
  ],
  [
    'actions.headers.add = { "Host" = "x" }',
    'actions.headers.add.Host: found "x", wanted host in set: a request has only one',
  ],
  [
    'actions.headers.set = { host = "a b" }',
    'actions.headers.set.host: found "a b", wanted a host name or IP address, perhaps with a port',
  ],
  [
    'actions.headers.remove = ["host"]',
    'actions.headers.remove[0]: found "host", wanted another header field: requests need a host',
  ],
  [
    'actions.headers.set = { "x y" = "1" }',
    'actions.headers.set."x y": found "1", wanted the name of a header: 1 to 256 letters, digits and any of !#$%&\'*+-.^_`|~',
  ],
  [
    'response_actions.headers.set = { x = "a\\r\\nb" }',
    'response_actions.headers.set.x: found "a\\r\\nb", wanted up to 8192 visible ASCII characters, spaces and tabs between them',
  ],
  [
    "response_actions.headers.set = { x = 1 }",
    "response_actions.headers.set.x: found 1, wanted the value of a header field in quotes",
  ],
  [
    'request_actions.path.regex_replace = { pattern = "(a", replacement = "" }',
    'request_actions.path.regex_replace.pattern: found "(a", wanted a regular expression: this group is not closed (character 1)',
  ],
  [
    'request_actions.path.regex_replace = { pattern = "(a)", replacement = "$2" }',
    'request_actions.path.regex_replace.replacement: found "$2", wanted no $2, because the pattern has 1 group',
  ],
  [
    'request_actions.path.regex_replace = { pattern = "a", replacement = "$<x>" }',
    'request_actions.path.regex_replace.replacement: found "$<x>", wanted no $<x>, because the pattern has no group of that name',
  ],
  [
    'request_actions.path.regex_replace = { pattern = "a", replacement = "$x" }',
    'request_actions.path.regex_replace.replacement: found "$x", wanted $1, $<name> or $$ wherever there is a $',
  ],
  [
    'request_actions.path.replace_prefix = { pattern = "", replacement = "/x" }',
    'request_actions.path.replace_prefix.pattern: found "", wanted at least one character',
  ],
  [
    'request_actions.path.add_prefix = "/../x"',
    'request_actions.path.add_prefix: found "/../x", wanted a part of a path without "." and ".." segments',
  ],
  [
    'request_actions.path.add_suffix = "?x=1"',
    'request_actions.path.add_suffix: found "?x=1", wanted up to 1024 characters of a path, not percent-encoded, without ?, # and \\: it is encoded later',
  ],
  [
    "custom_response.status_code = 101",
    "custom_response.status_code: found 101, wanted a status from 200 to 599",
  ],
  [
    'custom_response = { status_code = 204, body = "x" }',
    "custom_response.body: found with status 204, which has no body",
  ],
  [
    'custom_response = {}\nredirect = { to = "/" }',
    "redirect: found beside custom_response, wanted only one of them",
  ],
  ["redirect = {}", "redirect.to: missing, wanted where to, in quotes"],
  [
    'redirect = { to = "{hots}" }',
    'redirect.to: found "{hots}", wanted of the placeholders only {scheme}, {host}, {path}, {query}',
  ],
  [
    'redirect = { to = "//evil" }',
    'redirect.to: found "//evil", wanted where to, such as "https://{host}{path}{query}" or "/new{query}", percent-encoded',
  ],
  [
    'redirect = { to = "/{path}" }',
    'redirect.to: found "/{path}", wanted where to, such as "https://{host}{path}{query}" or "/new{query}", percent-encoded',
  ],
  [
    'redirect = { to = "/a b" }',
    'redirect.to: found "/a b", wanted where to, such as "https://{host}{path}{query}" or "/new{query}", percent-encoded',
  ],
  [
    'redirect = { to = "/", status_code = 304 }',
    "redirect.status_code: found 304, wanted one of 301, 302, 303, 307, 308",
  ],
  [
    'plugins_request = ["p"]',
    'plugins_request[0]: found "p", wanted the name of a plugin: there is no plugin',
  ],
  ['plugins_order = "sorted"', 'plugins_order: found "sorted", wanted one of as_listed, name_asc, name_desc'],
];

for (const [text, message] of refused) {
  Deno.test(`a rule with ${text.replaceAll("\n", ", ")} is refused with line and key`, async () => {
    const name = text.startsWith("name") ? "" : 'name = "r"\n';
    const { errors } = await check(`[[routing.rules]]\n${name}${text}\n${TARGETS}`);
    assert.equal(errors.length, 1, errors.join("\n"));
    const lines = (name + text).split("\n");
    const place = /^x\.toml:(\d+):(\d+) routing\.rules\[0\]\.(.*)$/s.exec(errors[0]);
    assert.ok(place, errors[0]);
    assert.equal(place[3], message);
    assert.ok([lines.length, lines.length + 1].includes(Number(place[1])), errors[0]);
  });
}

Deno.test("a default target that is not there is refused, also without rules", async () => {
  const { errors } = await check(`routing.default_target = "c"\n${TARGETS}`);
  assert.deepEqual(errors, [
    'x.toml:1:26 routing.default_target: found "c", wanted the name of a target: did you mean "a"?',
  ]);
});

Deno.test("two rules of one name are refused", async () => {
  const { errors } = await check(
    `[[routing.rules]]\nname = "r"\npriority = -1\n[[routing.rules]]\nname = "r"\nconditions.method = "GET"\n${TARGETS}`,
  );
  assert.deepEqual(errors, [
    'x.toml:5:8 routing.rules[1].name: found "r" again after routing.rules[0].name, wanted unique names',
  ]);
});

const doubtful: [text: string, warning: string][] = [
  ['split_sticky = "ip"', "split_sticky: has no effect without split"],
  [
    'custom_response = {}\nmirror = { target = "a" }',
    "mirror: has no effect beside custom_response, because nothing is forwarded",
  ],
  [
    'redirect = { to = "/" }\nresponse_actions.headers.remove = ["x"]',
    "response_actions: has no effect beside redirect, because nothing is forwarded",
  ],
  [
    "bdy = 1",
    "bdy: unknown key, known in routing.rules[0] are name, priority, enabled, conditions, target, targets, " +
    "group, split, split_sticky, mirror, request_actions, response_actions, custom_response, redirect, plugins_request, " +
    "plugins_response, plugins_order, plugins_dedup",
  ],
];

for (const [text, warning] of doubtful) {
  Deno.test(`a rule with ${text.replaceAll("\n", ", ")} is accepted with a warning`, async () => {
    const { errors, warnings } = await check(`[[routing.rules]]\nname = "r"\n${text}\n${TARGETS}`);
    assert.deepEqual(errors, []);
    assert.deepEqual(warnings.map((line) => line.replace(/^x\.toml:\d+:\d+ routing\.rules\[0\]\./, "")), [
      warning,
    ]);
  });
}

Deno.test("a plugin that would not run for a rule is told of", async () => {
  const plugins = (enabled: boolean) => `
[plugins]
enabled = ${enabled}
[[plugins.plugins]]
name = "req"
type = "blocklist"
[[plugins.plugins]]
name = "off"
type = "blocklist"
enabled = false
stage = "both"
[[routing.rules]]
name = "r"
plugins_request = ["req", "off"]
plugins_response = ["req"]
${TARGETS}`;
  const warningsOf = async (text: string) =>
    (await check(text)).warnings.map((line) => line.replace(/^x\.toml:/, ""))
      .filter((line) => line.includes("routing"));
  assert.deepEqual(await warningsOf(plugins(true)), [
    "14:27 routing.rules[0].plugins_request[1]: does not run, because the plugin is not enabled",
    "15:21 routing.rules[0].plugins_response[0]: does not run, because the plugin's stage is request, not response or both",
  ]);
  assert.deepEqual(await warningsOf(plugins(false)), [
    "14:20 routing.rules[0].plugins_request[0]: does not run, because plugins.enabled is false",
    "14:27 routing.rules[0].plugins_request[1]: does not run, because plugins.enabled is false",
    "15:21 routing.rules[0].plugins_response[0]: does not run, because plugins.enabled is false",
  ]);
});

Deno.test("a rule without conditions that hides others is told of", async () => {
  const rules = (priority: number) => `
[[routing.rules]]
name = "all"
conditions = {}
priority = ${priority}
[[routing.rules]]
name = "some"
conditions.method = "GET"
${TARGETS}`;
  assert.deepEqual((await check(rules(1))).warnings, [
    'x.toml:2:3 routing.rules[0]: has no conditions and takes every request, so that the rules after it, from "some" on, ' +
    "are never tried: give it a smaller priority",
  ]);
  assert.deepEqual((await check(rules(-1))).warnings, []);
});

const text = fc.string({
  unit: fc.constantFrom("a", "B", "ä", "-", "$", "{", "}"),
  minLength: 1,
  maxLength: 6,
});
const path = text.map((text) => `/${text}`);
const oneOrMore = <Value>(entry: fc.Arbitrary<Value>) =>
  fc.oneof(entry, fc.array(entry, { minLength: 1, maxLength: 3 }));
const some = <Keys extends Record<string, fc.Arbitrary<unknown>>>(keys: Keys) =>
  fc.record(keys, { requiredKeys: [] });
const regexes = fc.constantFrom("^/a", "a|b", "[$]{2}", "(?i)x$", "^(a+)+$");
const fieldNames = fc.constantFrom("x-a", "X-B", "accept");
const fields = fc.dictionary(fieldNames, fc.constantFrom("", "1", "a${b}"), { noNullPrototype: true });
const named = fc.oneof(
  fc.dictionary(fc.constantFrom("x", "y"), oneOrMore(text), { noNullPrototype: true }),
  fc.array(
    fc.record({
      name: fc.constantFrom("x", "Y"),
      value: fc.oneof(
        oneOrMore(text),
        some({ contains: text, starts_with: text, ends_with: oneOrMore(text) }),
      ),
      value_regex: regexes,
      exists: fc.constant(true),
    }, { requiredKeys: ["name"] }),
    { maxLength: 3 },
  ),
);
const replacement = fc.record({ pattern: text, replacement: text });
const choice = fc.constantFrom<Record<string, unknown>>(
  {},
  { target: "a" },
  { targets: ["b", "a"] },
  { group: "main" },
  { split: [{ target: "b", weight: 0.25 }, { group: "main", weight: 3 }], split_sticky: "header:X-User" },
  { split: [{ target: "b", weight: 1 }], split_sticky: "ip" },
);
const rules = fc.tuple(
  some({
    priority: fc.integer({ min: -9, max: 9 }),
    enabled: fc.boolean(),
    conditions: some({
      method: oneOrMore(fc.constantFrom("GET", "post")),
      host: some({
        exact: fc.constantFrom("A.example", "[::1]"),
        contains: fc.constantFrom("a."),
        regex: regexes,
      }),
      path: some({
        exact: oneOrMore(path),
        prefix: oneOrMore(path),
        suffix: text,
        contains: text,
        regex: regexes,
      }),
      client_ip: oneOrMore(fc.constantFrom("10.0.0.1", "10.0.*", "::1/64", "::ffff:1.2.3.4")),
      headers: named,
      query_params: named,
    }),
    mirror: fc.constant({ target: "a", percent: 0.5 }),
    request_actions: some({
      headers: some({ set: fields, add: fields, remove: fc.array(fieldNames, { maxLength: 2 }) }),
      path: some({
        replace_prefix: replacement,
        replace_suffix: replacement,
        regex_replace: fc.constant({ pattern: "(a)(?<n>b)", replacement: "$1$<n>$$" }),
        add_prefix: path,
        add_suffix: text,
      }),
    }),
    response_actions: some({ headers: some({ set: fields }) }),
    plugins_order: fc.constantFrom("as_listed", "NameAsc", "name-desc"),
    plugins_dedup: fc.boolean(),
  }),
  choice,
  fc.constantFrom<Record<string, unknown>>({}, { custom_response: { body: "${x}" } }, {
    redirect: { to: "{path}{query}" },
  }),
).map((parts) => Object.assign({}, ...parts));

Deno.test("printed rules load back to the same, whatever keys were set", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(rules, { maxLength: 3 }), fc.boolean(), async (rules, enabled) => {
      const routing = { enabled, rules: rules.map((rule, index) => ({ name: `r${index}`, ...rule })) };
      const text = escapeVariables(stringify({ routing })) + TARGETS;
      const { config, errors } = await check(text, {}, { strict: true });
      assert.deepEqual(errors, [], text);
      assert.ok(config);
      const printed = printConfig(config);
      assert.deepEqual((await check(printed, {}, { strict: true })).config, config, printed);
    }),
    { numRuns: 100 },
  );
});
