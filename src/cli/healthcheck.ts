/** `dispa healthcheck`: one question to a running proxy, for images without curl. */
import { loadConfig } from "../config/load.ts";
import { CONFIG_FLAGS, configSource } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { parseFlags, UsageError } from "./flags.ts";

const HELP = `Usage: dispa healthcheck [--url URL] [-c FILE] [--timeout SECONDS]

Asks a running proxy for its health: exit 0 if it answers with a 2xx status, 1 if not.

      --url URL           what to ask (default: /health on the configured health port of this machine)
  -c, --config FILE       where the health port stands (default: config/config.toml, or $DISPA_CONFIG)
      --timeout SECONDS   how long to wait (default: 3)

Examples:
  dispa healthcheck
  dispa healthcheck --url http://127.0.0.1:8081/ready
`;

const DEFAULT_TIMEOUT_S = 3;

export async function healthcheck(args: string[]): Promise<number> {
  const { values } = parseFlags(args, {
    config: CONFIG_FLAGS.config,
    url: { type: "string" },
    timeout: { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  if (values.help) {
    console.log(HELP);
    return ExitCode.Ok;
  }
  const timeoutS = values.timeout === undefined ? DEFAULT_TIMEOUT_S : Number(values.timeout);
  if (!(timeoutS > 0 && timeoutS <= 3600)) {
    throw new UsageError(
      `--timeout is "${values.timeout}", wanted is a number of seconds above 0, up to 3600`,
    );
  }
  const url = values.url ?? await configuredUrl(values.config);
  if (!URL.canParse(url)) {
    throw new UsageError(`--url is "${url}", wanted is a URL such as http://127.0.0.1:8081/health`);
  }
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutS * 1000), redirect: "manual" });
    const text = (await response.text()).slice(0, 2000);
    if (response.ok) return ExitCode.Ok;
    console.error(`${url} answered ${response.status}: ${text}`);
  } catch (fault) {
    console.error(`${url}: ${fault instanceof Error ? fault.message : String(fault)}`);
  }
  return ExitCode.ConfigError;
}

/** The health port of the configuration; the default port where it cannot be read (an image may hold none). */
async function configuredUrl(config: string | undefined): Promise<string> {
  const { path, load } = configSource({ config }, false);
  const result = await loadConfig(path, load);
  const port = result.ok
    ? result.config.monitoring.healthCheckPort
    : Deno.env.get("DISPA_HEALTH_CHECK_PORT") ?? "8081";
  return `http://127.0.0.1:${port}/health`;
}
