/** The environment variables and flags that go before the file. */
import { type Path, type Problem, quote } from "./problem.ts";

/** `Deno.env`, or a `Map` in tests. */
export interface Environment {
  get(name: string): string | undefined;
}

/** Flags of the command line; they go before environment and file. */
export interface Overrides {
  bind?: string;
  workers?: number | string;
}

/** A value that takes the place of the file's. */
export interface Override {
  path: Path;
  value: unknown;
  source: "environment" | "command line";
  /** The variable or the flag. */
  name: string;
}

type Reading = (text: string) => unknown;

// What cannot be read stays text, so that the schema refuses it and quotes it.
const asText: Reading = (text) => text;
const asNumber: Reading = (text) => /^[+-]?[0-9]+(?:\.[0-9]+)?$/.test(text.trim()) ? Number(text) : text;
const asFlag: Reading = (text) => {
  const word = text.trim().toLowerCase();
  if (["true", "1", "yes", "on"].includes(word)) return true;
  if (["false", "0", "no", "off"].includes(word)) return false;
  return text;
};

const VARIABLES: readonly { names: readonly string[]; path: Path; read: Reading }[] = [
  { names: ["DISPA_BIND_ADDRESS", "DISPA_BIND"], path: ["server", "bind_address"], read: asText },
  { names: ["DISPA_WORKERS"], path: ["server", "workers"], read: asNumber },
  { names: ["DISPA_REQUEST_TIMEOUT"], path: ["server", "request_timeout"], read: asNumber },
  { names: ["DISPA_METRICS_PORT"], path: ["monitoring", "metrics_port"], read: asNumber },
  { names: ["DISPA_HEALTH_CHECK_PORT"], path: ["monitoring", "health_check_port"], read: asNumber },
  { names: ["DISPA_LOGGING_ENABLED"], path: ["logging", "enabled"], read: asFlag },
  { names: ["DISPA_LOGGING_TYPE"], path: ["logging", "type"], read: asText },
  { names: ["DISPA_LOG_DIRECTORY"], path: ["logging", "file", "directory"], read: asText },
  { names: ["DISPA_LOG_LEVEL"], path: ["logging", "level"], read: asText },
  {
    names: ["DISPA_HTTP_POOL_MAX_IDLE_PER_HOST"],
    path: ["http_client", "pool_max_idle_per_host"],
    read: asNumber,
  },
  {
    names: ["DISPA_HTTP_POOL_IDLE_TIMEOUT_SECS"],
    path: ["http_client", "pool_idle_timeout_secs"],
    read: asNumber,
  },
  {
    names: ["DISPA_HTTP_CONNECT_TIMEOUT_SECS"],
    path: ["http_client", "connect_timeout_secs"],
    read: asNumber,
  },
];

/**
 * @returns the variable's value; undefined where it is not set, is empty (which is how compose files and
 *   shells pass on what is not set), or may not be read
 */
export function readVariable(environment: Environment, name: string): string | undefined {
  try {
    const value = environment.get(name);
    return value === "" ? undefined : value;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

/** The configuration file that the environment asks for (`DISPA_CONFIG`, or `DISPA_CONFIG_FILE`). */
export function configPathFromEnvironment(environment: Environment = Deno.env): string | undefined {
  return readVariable(environment, "DISPA_CONFIG") ?? readVariable(environment, "DISPA_CONFIG_FILE");
}

/** All values that take the place of the file's, the stronger ones last. */
export function collectOverrides(
  environment: Environment,
  flags: Overrides,
): { overrides: Override[]; problems: Problem[] } {
  const overrides: Override[] = [];
  const problems: Problem[] = [];
  for (const { names, path, read } of VARIABLES) {
    const given = names.flatMap((name) => {
      const text = readVariable(environment, name);
      return text === undefined ? [] : [{ name, text }];
    });
    if (given.length === 0) continue;
    const [first, ...others] = given;
    overrides.push({ path, value: read(first.text), source: "environment", name: first.name });
    for (const other of others) {
      if (other.text === first.text) continue;
      problems.push({
        severity: "error",
        source: "environment",
        line: null,
        column: null,
        key: other.name,
        message: `found ${quote(other.text)}, but ${first.name} is ${quote(first.text)}: ` +
          "wanted the same value or only one of them",
      });
    }
  }
  const flag = (name: string, path: Path, value: unknown) =>
    overrides.push({ path, value, source: "command line", name });
  if (flags.bind !== undefined) flag("--bind", ["server", "bind_address"], flags.bind);
  if (flags.workers !== undefined) {
    const { workers } = flags;
    flag("--workers", ["server", "workers"], typeof workers === "string" ? asNumber(workers) : workers);
  }
  return { overrides, problems };
}
