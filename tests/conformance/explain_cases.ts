/** Random configurations, states of their targets, and requests: for comparing `explain` with the proxy. */
import fc from "fast-check";

/** A configuration file as a tree. */
export type Tree = Record<string, unknown>;

type Generated<A> = A extends fc.Arbitrary<infer Value> ? Value : never;

export interface Case {
  config: Tree;
  /** What the target table holds of each target. */
  states: TargetStanding[];
  requests: AskedRequest[];
}

export interface TargetStanding {
  state: 0 | 1 | 2;
  draining: boolean;
  /** Requests that are in flight to it already. */
  active: number;
}

export interface AskedRequest {
  method: string;
  scheme: "http" | "https";
  authority: string;
  target: string;
  /** Names and values, none of them a `host`; a `content-length` is that of the body. */
  headers: [string, string][];
  body: string;
  peerIp: string;
}

const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const HOSTS = ["example.com", "a.example.com", "b.a.example.com", "shop.test", "evilexample.com", "10.0.0.1"];
const PATTERNS = ["example.com", "*.example.com", "a.example.com", "shop.*", "*", "10.0.0.1"];
const host = fc.constantFrom(...HOSTS);
const ip = fc.constantFrom("10.0.0.1", "10.0.0.9", "192.0.2.7", "2001:db8::1", "127.0.0.1");
const network = fc.constantFrom("10.0.0.0/8", "10.0.0.1", "192.0.2.0/24", "2001:db8::/32", "127.0.0.1");
const fieldName = fc.constantFrom("x-a", "x-b", "x-canary", "authorization", "cookie", "user-agent");
const fieldValue = fc.constantFrom("1", "2", "yes", "s=1; t=2", "Bearer abc", "a, b", "caf\xe9");
const plainValue = fc.constantFrom("1", "2", "yes", "blue");
const segment = fc.constantFrom("a", "b", "api", "admin", "x y", "é");
const plainPath = fc.array(segment, { maxLength: 3 }).map((parts) => `/${parts.join("/")}`);
const fieldTable = fc.dictionary(fieldName, plainValue, { maxKeys: 2 });
const names = (list: readonly string[]) => fc.subarray([...list], { minLength: 1 });

const TARGET_NAMES = ["t0", "t1", "t2", "t3"];
const GROUPS = ["g0", "g1"];

const target = fc.record({
  weight: fc.constantFrom(1, 2, 0.5, 10),
  group: fc.constantFrom(...GROUPS),
  max_connections: rarely(fc.constantFrom(1, 2)),
  backup: fc.boolean(),
  base: fc.constantFrom("", "/base", "/b/c"),
});

/** The first two have each a group, so that both exist. */
function targetTables(targets: Generated<typeof target>[]): Tree[] {
  return targets.map(({ base, group, backup, ...rest }, index) => ({
    name: TARGET_NAMES[index],
    url: `http://127.0.0.1:${3000 + index}${base}`,
    group: GROUPS[index] ?? group,
    backup: index > 0 && backup,
    ...rest,
  }));
}

const values = fc.oneof(
  plainValue,
  names(["1", "2", "yes"]),
  fc.record({ starts_with: plainValue }),
  fc.record({ ends_with: plainValue }),
  fc.record({ contains: plainValue }),
);
const named = (name: fc.Arbitrary<string>) =>
  fc.oneof(
    fc.record({ name, value: values }),
    fc.record({ name, exists: fc.boolean() }),
    fc.record({ name, value_regex: fc.constantFrom("^[12]$", "es$", "(?i)BEARER") }),
  );

const conditions = fc.record({
  method: rarely(names(["GET", "POST", "PUT"])),
  path: rarely(fc.oneof(
    fc.record({ exact: plainPath }),
    fc.record({ prefix: plainPath }),
    fc.record({ suffix: segment }),
    fc.record({ contains: segment }),
    fc.record({ regex: fc.constantFrom("^/api", "[ab]$", "^/(a|b)/", "é|x y") }),
  )),
  host: rarely(fc.oneof(
    fc.record({ exact: names(HOSTS) }),
    fc.record({ contains: fc.constantFrom("example", "a.") }),
    fc.record({ regex: fc.constantFrom("^a\\.", "com$") }),
  )),
  headers: rarely(fc.array(named(fieldName), { minLength: 1, maxLength: 2 })),
  query_params: rarely(fc.array(named(fc.constantFrom("q", "r")), { minLength: 1, maxLength: 2 })),
  client_ip: rarely(fc.array(network, { minLength: 1, maxLength: 2 })),
});

const pathPart = fc.constantFrom("/new", "/v1/é", "/x y", "/");
const requestActions = fc.record({
  headers: fc.record({
    remove: fc.subarray(["x-a", "cookie", "x-forwarded-for"]),
    set: fieldTable,
    add: fieldTable,
  }),
  path: fc.record({
    replace_prefix: rarely(fc.record({ pattern: plainPath, replacement: pathPart })),
    replace_suffix: rarely(fc.record({ pattern: segment, replacement: segment })),
    regex_replace: rarely(
      fc.constantFrom({ pattern: "(a)", replacement: "$1$1" }, { pattern: "^/api", replacement: "/z" }),
    ),
    add_prefix: rarely(fc.constantFrom("/v1", "/x y")),
    add_suffix: rarely(fc.constantFrom(".json", "/é")),
  }),
});

const part = fc.oneof(
  fc.record({ target: fc.constantFrom("t0", "t1"), weight: fc.constantFrom(1, 5) }),
  fc.record({ group: fc.constantFrom(...GROUPS), weight: fc.constantFrom(1, 5) }),
);
const choice: fc.Arbitrary<Tree> = fc.oneof(
  fc.constant({}),
  fc.record({ target: fc.constantFrom("t0", "t1") }),
  fc.record({ targets: names(["t0", "t1"]) }),
  fc.record({ group: fc.constantFrom(...GROUPS) }),
  fc.record({
    split: fc.array(part, { minLength: 1, maxLength: 3 }),
    split_sticky: fc.constantFrom("none", "ip", "header:x-a", "cookie:s"),
  }),
);
const ownAnswer: fc.Arbitrary<Tree> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.record({
      custom_response: fc.record({ status_code: fc.constantFrom(200, 204, 418, 503), headers: fieldTable }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      redirect: fc.record({
        to: fc.constantFrom("https://{host}{path}{query}", "/moved{query}"),
        status_code: fc.constantFrom(301, 302, 307, 308),
      }),
    }),
  },
);

const settings: fc.Arbitrary<Tree> = fc.oneof(
  fc.record({
    type: fc.constant("headerinjector"),
    stage: fc.constantFrom("request", "both"),
    config: fc.record({
      request_headers: fc.dictionary(
        fc.constantFrom("x-a", "x-b", "x-request-id", "host", "x-token"),
        fc.constantFrom("1", "generated", "id-{{uuid}}"),
        { minKeys: 1, maxKeys: 2 },
      ).map(({ host, ...rest }) => host === undefined ? rest : { ...rest, "x-c": "3" })
        // A split may go by it: one that is made anew each time would have another part each time.
        .map((fields) => "x-a" in fields ? { ...fields, "x-a": "1" } : fields),
      response_headers: fieldTable,
    }),
  }),
  fc.record({
    type: fc.constant("headeroverride"),
    stage: fc.constantFrom("request", "both"),
    config: fc.record({
      request_headers: fieldTable,
      remove_request_headers: fc.subarray(["x-a", "x-b", "user-agent", "x-request-id"]),
    }),
  }),
  fc.record({
    type: fc.constant("blocklist"),
    config: fc.record({
      hosts: fc.subarray(["a.example.com", "*.example.com", "shop.test"], { maxLength: 1 }),
      paths: fc.subarray(["/admin", "/api/b", "/é"], { maxLength: 2 }),
    }),
  }),
  fc.record({
    type: fc.constant("pathrewrite"),
    config: fc.record({
      from_prefix: fc.constantFrom("/", "/a", "/api"),
      to_prefix: fc.constantFrom("/", "/b", "/x y", "/admin"),
    }),
  }),
  fc.record({
    type: fc.constant("hostrewrite"),
    config: fc.record({
      host: fc.constantFrom("inner.test", "inner.test:81"),
      from: rarely(fc.constantFrom("*.example.com", "shop.test")),
    }),
  }),
  fc.record({
    type: fc.constant("ratelimiter"),
    config: fc.record({
      // So slow that no token comes back while a case runs.
      rate_per_sec: fc.constant(0.001),
      burst: fc.constantFrom(1, 3),
      key: fc.constantFrom("global", "ip", "host", "path", "header:x-a"),
    }),
  }),
);

const plugin = fc.record({
  settings,
  enabled: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  scope: fc.constantFrom("all", "all", "routes"),
  error_strategy: fc.constantFrom("continue", "fail"),
});

const PLUGIN_NAMES = ["p0", "p1", "p2"];

const rule = fc.record({
  priority: fc.integer({ min: -2, max: 2 }),
  enabled: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  conditions,
  choice,
  ownAnswer,
  request_actions: requestActions,
  response_actions: fc.record({ headers: fc.record({ set: fieldTable }) }),
  plugins: fc.array(fc.constantFrom(...PLUGIN_NAMES), { maxLength: 3 }),
  plugins_order: fc.constantFrom("as_listed", "name_asc", "name_desc"),
  plugins_dedup: fc.boolean(),
});

function ruleTable(
  { choice, ownAnswer, plugins, ...rest }: Generated<typeof rule>,
  index: number,
): Tree {
  return { name: `r${index}`, ...rest, ...choice, ...ownAnswer, plugins_request: plugins };
}

const security = fc.record({
  enabled: fc.constant(true),
  access_control: fc.record({
    allowed_ips: fc.subarray(["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"], { maxLength: 2 }),
    denied_ips: fc.subarray(["10.0.0.9", "192.0.2.0/24"], { maxLength: 1 }),
    trust_proxy_headers: fc.boolean(),
    trusted_proxies: fc.constant(["127.0.0.1", "10.0.0.1"]),
  }),
  rate_limit: fc.constantFrom({ enabled: false }, { enabled: true, rate_per_sec: 0.001, burst: 2 }),
  ddos: fc.constantFrom({}, { max_headers: 8 }, { require_content_length: true, max_body_bytes: 4 }),
});

const config: fc.Arbitrary<Tree> = fc.record({
  domains: fc.record({
    intercept_domains: fc.oneof({ weight: 3, arbitrary: fc.constant(["*"]) }, {
      weight: 1,
      arbitrary: names(PATTERNS),
    }),
    exclude_domains: fc.subarray(["a.example.com", "*.a.example.com", "shop.test"], { maxLength: 1 }),
  }),
  targets: fc.record({
    targets: fc.array(target, { minLength: 2, maxLength: 4 }).map(targetTables),
    load_balancing: fc.record({
      type: fc.constantFrom("roundrobin", "weighted", "random", "leastconnections"),
      sticky_sessions: fc.boolean(),
      max_queue: fc.constant(0),
    }),
  }),
  retry: fc.constantFrom({}, { enabled: true }),
  websocket: fc.record({ enabled: fc.boolean() }),
  security: rarely(security),
  plugins: fc.record({
    enabled: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
    apply_before_domain_match: fc.boolean(),
    plugins: fc.array(plugin, { minLength: 3, maxLength: 3 }).map((all) =>
      all.map(({ settings, ...rest }, index) => ({ name: PLUGIN_NAMES[index], ...rest, ...settings }))
    ),
  }),
  routing: fc.record({
    enabled: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
    enable_logging: fc.boolean(),
    default_target: rarely(fc.constantFrom("t0", "t1")),
    rules: fc.array(rule, { maxLength: 5 }).map((rules) => rules.map(ruleTable)),
  }),
});

const pathText = fc.array(
  fc.constantFrom(
    "a",
    "b",
    "api",
    "admin",
    "%61dmin",
    ".",
    "..",
    "",
    "%2e%2e",
    "x%20y",
    "é",
    "%C3%A9",
    "%ff",
    "%zz",
  ),
  { maxLength: 4 },
).map((parts) => `/${parts.join("/")}`);
const query = fc.constantFrom("", "?", "?q=1", "?q=2&r=yes", "?q=%31&q=x", "?r=caf%C3%A9", "?a?b=/../c");

const upgrade: fc.Arbitrary<[string, string][]> = fc.constantFrom(
  [["upgrade", "websocket"]],
  [["upgrade", "websocket"], ["sec-websocket-version", "13"]],
  [["upgrade", "websocket"], ["sec-websocket-version", "8"], [
    "sec-websocket-key",
    "AQIDBAUGBwgJCgsMDQ4PEA==",
  ]],
  [["upgrade", "websocket"], ["sec-websocket-version", "13"], [
    "sec-websocket-key",
    "AQIDBAUGBwgJCgsMDQ4PEA==",
  ]],
  [["upgrade", "h2c"]],
);

const headers: fc.Arbitrary<[string, string][]> = fc.tuple(
  fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 4 }),
  fc.array(
    fc.oneof(
      fc.tuple(fc.constant("x-forwarded-for"), ip),
      fc.tuple(fc.constantFrom("x-forwarded-proto", "x-forwarded-host", "forwarded"), plainValue),
      fc.tuple(fc.constant("x-request-id"), fc.constantFrom("mine", "not fit")),
      fc.tuple(fc.constantFrom("te", "keep-alive", "x-dispa-explain"), plainValue),
    ),
    { maxLength: 2 },
  ),
  fc.oneof({ weight: 7, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: upgrade }),
  fc.constantFrom("close", "close, x-a", "close, upgrade"),
).map((
  [plain, special, upgrade, connection],
) => [...plain, ...special, ...upgrade, ["connection", connection]]);

const request: fc.Arbitrary<AskedRequest> = fc.record({
  method: fc.constantFrom("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PURGE", "TRACE"),
  scheme: fc.constantFrom("http", "https"),
  authority: fc.oneof(
    { weight: 6, arbitrary: host },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        "EXAMPLE.com:8080",
        "a.example.com.",
        "[::1]:80",
        "a..b",
        "x:99999",
        "a_b.example.com",
      ),
    },
  ),
  path: pathText,
  query,
  headers,
  body: fc.constantFrom("", "", "abc", "abcdef"),
  peerIp: ip,
}).map(({ path, query, body: wanted, headers, ...rest }) => {
  // The runtime itself cuts off who asks for an upgrade and sends a body: the proxy never sees it.
  const body = headers.some(([name]) => name === "upgrade") ? "" : wanted;
  const framing: [string, string][] = body === "" ? [] : [["content-length", String(body.length)]];
  return { ...rest, target: path + query, body, headers: [...headers, ...framing] };
});

export const CASES: fc.Arbitrary<Case> = fc.record({
  config,
  states: fc.array(
    fc.record({
      state: fc.constantFrom(0, 1, 1, 2),
      draining: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
      active: fc.constantFrom(0, 0, 0, 1, 2),
    }),
    { minLength: TARGET_NAMES.length, maxLength: TARGET_NAMES.length },
  ),
  requests: fc.array(request, { minLength: 1, maxLength: 10, size: "max" }),
});
