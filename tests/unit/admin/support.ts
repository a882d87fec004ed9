/** An admin app over a configuration file in a folder of its own, with everything else of the program played. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type AdminApp, adminApp } from "../../../src/admin/admin_app.ts";
import type { AuditEntry, Role } from "../../../src/admin/api.ts";
import { type SchemaName, SCHEMAS } from "../../../src/admin/schemas.ts";
import type { AdminSource, TrafficListener, TrafficQuestion } from "../../../src/admin/source.ts";
import { TargetOverrides } from "../../../src/admin/target_overrides.ts";
import { TOKEN_VARIABLES, Tokens } from "../../../src/admin/tokens.ts";
import { SlotAllocator } from "../../../src/balancing/slots.ts";
import { TargetTable } from "../../../src/balancing/target_table.ts";
import { loadConfig } from "../../../src/config/mod.ts";
import type { ExplainQuestion, Explanation } from "../../../src/http/explanation.ts";
import type { FamilySnapshot } from "../../../src/metrics/mod.ts";

export const TOKEN: Record<Role, string> = {
  viewer: "viewer-token-0123456789",
  editor: "editor-token-0123456789",
  admin: "admin-token-0123456789",
};

/** What every request is explained by. */
export const EXPLANATION: Explanation = {
  outcome: "forward",
  status: null,
  code: null,
  message: null,
  domain: "example.com",
  route: null,
  target: "one",
  steps: [{ step: "domain", outcome: "passed", summary: "matched", details: { pattern: "example.com" } }],
  upstream: {
    target: "one",
    url: "http://127.0.0.1:3001/",
    method: "GET",
    headers: [["host", "example.com"]],
  },
};

export const CONFIG = `# kept by hand
[domains]
intercept_domains = ["example.com"]
[targets.load_balancing]
type = "weighted"
[[targets.targets]]
name = "one"
url = "http://127.0.0.1:3001"
weight = 2
[[targets.targets]]
name = "two"
url = "http://127.0.0.1:3002"
[logging]
type = "both"
[logging.database]
url = "postgresql://dispa:hunter2@db.example/traffic" # the one in the cellar
[plugins]
enabled = true
[[plugins.plugins]]
name = "inject"
type = "headerinjector"
config = { request_headers = { "authorization" = "Bearer s3cr3t", "x-env" = "\${STAGE}" } }
`;

export interface AdminFixtureOptions {
  roles?: Role[];
  toml?: string;
  environment?: Record<string, string>;
  /** What a reload finds that a check cannot, such as a port that is taken. */
  refuse?: () => string | null;
  nowMs?: () => number;
}

export class AdminFixture implements AsyncDisposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "dispa-admin-" });
  readonly configPath = join(this.directory, "config.toml");
  readonly table = new TargetTable();
  readonly logged: string[] = [];
  readonly questions: TrafficQuestion[] = [];
  metrics: FamilySnapshot[] = [];
  listener: TrafficListener | null = null;
  failedAttempts = 0;
  readonly explained: ExplainQuestion[] = [];
  generation = 1;
  admin!: AdminApp;
  source!: AdminSource;

  static async create(options: AdminFixtureOptions = {}): Promise<AdminFixture> {
    const fixture = new AdminFixture();
    const { roles = ["viewer", "editor", "admin"], toml = CONFIG, refuse = () => null } = options;
    Deno.writeTextFileSync(
      fixture.configPath,
      toml.replace("[logging]\n", `[logging]\nfile.directory = "${fixture.directory}/logs"\n`),
    );
    const environment = new Map(Object.entries({ STAGE: "test", ...options.environment }));
    const load = { environment };
    const loaded = await loadConfig(fixture.configPath, load);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    let { config, text } = loaded;
    let lastError: string | null = null;
    const slots = new SlotAllocator(fixture.table);
    const overrides = new TargetOverrides(fixture.table);
    let targets = slots.assign(config.targets.targets);
    overrides.apply(targets);
    const ok = { state: "ok", message: null } as const;
    fixture.source = {
      log: (level, message) => fixture.logged.push(`${level} ${message}`),
      health: {
        certificates: () => [],
        version: "1.2.3",
        uptimeMs: () => 1500,
        isServing: () => true,
        isDraining: () => false,
        components: () => ({ proxy: ok, traffic_log: ok, config: ok, admin: ok }),
        targets: () =>
          targets.map(({ slot, config }) => ({
            name: config.name,
            url: config.url,
            health: null,
            usable: fixture.table.isUsable(slot),
            draining: fixture.table.isDraining(slot),
            circuit: "closed",
            backup: config.backup,
            activeConnections: 0,
            maxConnections: config.maxConnections,
            weight: config.weight,
          })),
        config: () => ({
          path: fixture.configPath,
          generation: fixture.generation,
          loadedAt: new Date(0),
          lastError,
        }),
      },
      startedAt: new Date(0),
      config: () => config,
      configText: () => text,
      load,
      async reload() {
        const result = await loadConfig(fixture.configPath, load);
        const refusal = refuse();
        if (!result.ok || refusal !== null) {
          lastError = refusal ?? "does not validate";
          return { ok: false, problems: [lastError] };
        }
        ({ config, text } = result);
        lastError = null;
        targets = slots.assign(config.targets.targets);
        overrides.apply(targets);
        return { ok: true, generation: ++fixture.generation };
      },
      targets: () => targets,
      overrides,
      metrics: () => fixture.metrics,
      workers: () => ({ configured: 2, running: 2 }),
      queuedBytes: () => 0,
      countFailedAttempt: () => fixture.failedAttempts++,
      askTraffic(_logging, question) {
        fixture.questions.push(question);
        return Promise.resolve(
          question.kind === "stats" ? { kind: "stats", groups: [] } : { kind: "records", records: [] },
        );
      },
      explain(question) {
        fixture.explained.push(question);
        return Promise.resolve(EXPLANATION);
      },
      tapTraffic: (listener) => fixture.listener = listener,
    };
    const tokens = new Tokens(new Map(roles.map((role) => [TOKEN_VARIABLES[role], TOKEN[role]])));
    fixture.admin = adminApp({ source: fixture.source, tokens, nowMs: options.nowMs });
    return fixture;
  }

  /** A request as the server would pass it on. */
  request(path: string, init: RequestInit & { as?: Role; peer?: string } = {}): Promise<Response> {
    const { as, peer = "127.0.0.1", ...rest } = init;
    const headers = new Headers(init.headers);
    if (!headers.has("host")) headers.set("host", "127.0.0.1:9090");
    if (as !== undefined) headers.set("authorization", `Bearer ${TOKEN[as]}`);
    const info = { remoteAddr: { transport: "tcp", hostname: peer, port: 5 } };
    const answer = this.admin.app.request(`http://127.0.0.1:9090${path}`, { ...rest, headers }, { info });
    return Promise.resolve(answer);
  }

  post(
    path: string,
    body: unknown,
    init: RequestInit & { as?: Role; peer?: string } = {},
  ): Promise<Response> {
    return this.request(path, { method: "POST", body: JSON.stringify(body), ...init });
  }

  put(text: string, init: RequestInit & { as?: Role } = {}): Promise<Response> {
    const headers = { "content-type": "text/plain", ...init.headers };
    return this.request("/admin/config", { method: "PUT", body: text, as: "editor", ...init, headers });
  }

  get file(): string {
    return Deno.readTextFileSync(this.configPath);
  }

  audit(): AuditEntry[] {
    const text = Deno.readTextFileSync(join(this.directory, "logs", "admin_audit.log"));
    return text.trimEnd().split("\n").map((line) => JSON.parse(line) as AuditEntry);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.admin.close();
    this.source.overrides.close();
    Deno.removeSync(this.directory, { recursive: true });
    return Promise.resolve();
  }
}

/** The body of an answer with that status, held against the schema of that name. */
export async function body<Name extends SchemaName>(
  name: Name,
  response: Response,
  status = 200,
): Promise<ReturnType<typeof SCHEMAS[Name]["parse"]>> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  return SCHEMAS[name].parse(JSON.parse(text)) as ReturnType<typeof SCHEMAS[Name]["parse"]>;
}

/** The cookie of a login. */
export async function login(fixture: AdminFixture, role: Role): Promise<string> {
  const response = await fixture.post("/admin/login", { token: TOKEN[role] });
  await body("Session", response);
  return response.headers.get("set-cookie")!.split(";")[0];
}
