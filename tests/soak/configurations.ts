/** The configurations that a soak changes between: each reload draws every setting anew. */
import type { Dispa } from "../support/dispa.ts";
import type { Seeded } from "../support/seeded.ts";
import type { FlappingTarget } from "./flapping_target.ts";

/** What measurements are compared under. */
export const USUAL_WORKERS = 2;

export interface Drawn {
  text: string;
  /** Names of the targets in it. */
  targets: string[];
}

/** Everything drawn anew; `usual` ones differ in nothing that costs memory or descriptors. */
export function drawConfiguration(
  dispa: Dispa,
  all: readonly FlappingTarget[],
  random: Seeded,
  usual: boolean,
): Drawn {
  const some = random.next() < 0.7 ? all : all.filter((_, index) => index !== all.length - 1);
  const targets = usual ? all : some;
  const onOff = () => random.pick(["true", "false"]);
  const toml = `
[domains]
intercept_domains = ${random.pick(['["soak.test"]', '["*.other.test", "soak.test"]', '["soak.*"]'])}
[http_client]
pool_idle_timeout_secs = ${random.pick([0.5, 1])}
[targets.load_balancing]
type = "${random.pick(["roundrobin", "weighted", "random", "leastconnections"])}"
[targets.health_check]
enabled = ${onOff()}
interval = 0.4
timeout = 0.3
path = "/health"
[targets.circuit_breaker]
enabled = ${onOff()}
failure_ratio = 0
consecutive_failures = ${random.whole(8, 20)}
open_secs = 0.2
[retry]
enabled = ${onOff()}
on = ["connect", "reset"]
methods = ["GET"]
attempts = ${random.whole(2, 3)}
[security]
enabled = ${onOff()}
[security.ddos]
max_headers = ${random.whole(20, 100)}
[websocket]
ping_interval = ${random.pick([1, 5, 20])}
[error_pages]
problem_json = ${onOff()}
[logging]
type = "${random.pick(["file", "both"])}"
flush_interval = ${random.pick([0.05, 0.2, 1])}
[logging.file]
directory = "${dispa.logs}"
max_file_size = ${random.pick([2_000_000, 20_000_000])}
[logging.database]
url = "sqlite://${dispa.directory}/traffic.db"
[[monitoring.histogram_buckets]]
metric = "dispa_request_duration_seconds"
buckets_ms = [${random.whole(1, 9)}, 100, 1000]
[plugins]
enabled = ${onOff()}
[[plugins.plugins]]
name = "mark"
type = "headerinjector"
enabled = true
stage = "both"
config = { response_headers = { "x-soak" = "${random.whole(1, 1000)}" } }
[routing]
[[routing.rules]]
name = "slow"
priority = ${random.whole(1, 100)}
enabled = ${onOff()}
[routing.rules.conditions]
path = { prefix = "/slow" }
[routing.rules.response_actions.headers.set]
x-route = "slow"
${targets.map((target) => targetText(target, random)).join("")}`;
  const workers = usual ? USUAL_WORKERS : random.whole(1, 3);
  const text = dispa.config(toml).replace(/^workers = \d+$/m, `workers = ${workers}`);
  return { text, targets: targets.map(({ name }) => name) };
}

function targetText({ name, url }: FlappingTarget, random: Seeded): string {
  return `[[targets.targets]]\nname = "${name}"\nurl = "${url}"\nweight = ${random.whole(1, 5)}\n`;
}

/** One that must be refused. */
export function brokenConfiguration(dispa: Dispa, random: Seeded): string {
  return random.pick([
    "[server\n",
    "[targets]\n",
    dispa.config("[[targets.targets]]\nname = 'a'\nurl = 'nowhere'\n"),
    "",
  ]);
}
