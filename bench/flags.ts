/** The bench's command line. */
import { parseArgs } from "node:util";

export const HELP =
  `Usage: deno task bench [--quick] [--rounds N] [--seconds N] [--only NAME,…] [--scenario NAME,…]
                       [--json FILE] [--markdown FILE]

Measures Dispa beside nginx, HAProxy, Caddy and bare Deno on this machine. Needs Linux, nginx and wrk.

      --quick           one round of 2 seconds, to see that all works; its figures are worth little
      --rounds N        measurements of each, of which the medians are reported (default: 3)
      --seconds N       length of one measurement (default: 5)
      --only NAME,…     who takes part: nginx, haproxy, caddy, bare-http1, bare-fetch,
                        dispa[-fetch][-NUMBERw][-nolog|-sqlite|-postgres], sink-file, sink-sqlite, sink-postgres,
                        routes-host|prefix|regex-NUMBER
      --scenario NAME,… what is measured: small, 64k, 1m, post, 1000, close, latency, idle, slow, sinks,
                        routes
      --json FILE       writes every measurement to FILE
      --markdown FILE   puts the report between the lines of FILE that hold its begin and end marks

Exit codes: 0 all measured, 1 an error answer, a socket error or a proxy that did not start, 64 wrong usage,
130 interrupted. The proxy measured as "dispa" is the executable in DISPA_BIN where that is set.
`;

export interface Flags {
  help: boolean;
  quick: boolean;
  rounds: number;
  seconds: number;
  only: string[] | null;
  scenarios: string[] | null;
  jsonPath: string | null;
  markdownPath: string | null;
}

export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function parseFlags(args: string[]): Flags {
  const values = parse(args);
  const quick = values.quick ?? false;
  return {
    help: values.help ?? false,
    quick,
    rounds: wholeNumber("--rounds", values.rounds, quick ? 1 : 3),
    seconds: wholeNumber("--seconds", values.seconds, quick ? 2 : 5),
    only: values.only?.split(",") ?? null,
    scenarios: values.scenario?.split(",") ?? null,
    jsonPath: values.json ?? null,
    markdownPath: values.markdown ?? null,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        help: { type: "boolean", short: "h" },
        quick: { type: "boolean" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        only: { type: "string" },
        scenario: { type: "string" },
        json: { type: "string" },
        markdown: { type: "string" },
      },
    }).values;
  } catch (fault) {
    // parseArgs throws a TypeError that says which argument it does not know.
    if (fault instanceof TypeError) throw new UsageError(fault.message);
    throw fault;
  }
}

function wholeNumber(flag: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!/^[1-9]\d{0,3}$/.test(value)) {
    throw new UsageError(`${flag} is "${value}", wanted is a whole number above 0`);
  }
  return Number(value);
}
