/** Picks the command. Each command parses its own flags and returns its exit code. */
import { VERSION } from "../version.ts";
import { ExitCode } from "./exit_codes.ts";
import { nearest, UsageError } from "./flags.ts";
import { RUN_FLAGS } from "./run_flags.ts";

const HELP =
  `Dispa ${VERSION}: a reverse proxy that intercepts domains, balances targets and records every request

Usage:
  dispa [run] [flags]          start the proxy
  dispa init [flags] [FILE]    write a configuration to start from
  dispa validate [flags]       check the configuration without starting anything
  dispa explain [flags]        say why a request would go where it goes, without sending it
  dispa traffic <command>      ask the traffic log: query, stats, tail, prune
  dispa healthcheck [flags]    exit 0 if a running proxy is healthy, 1 if not
  dispa --version | --help     "dispa <command> --help" tells more about one command

Flags of run:
  -c, --config FILE            configuration (default: config/config.toml, or $DISPA_CONFIG)
  -b, --bind ADDR              address to listen on, e.g. 127.0.0.1:8080 or [::]:8080
  -w, --workers N              proxy threads (default: one for each core)
  -v, --verbose                log at debug level
      --log-format text|json   form of the program's own log on stderr (default: text)
      --validate               the same as "dispa validate"

Signals: SIGTERM and SIGINT finish what is in flight and exit, a second one exits at once;
SIGHUP and SIGUSR1 reload the configuration, which is also watched.

Exit codes: 0 ok, 1 configuration error, 2 cannot listen, 3 traffic log cannot be opened, 64 wrong usage.

Examples:
  dispa init && dispa
  dispa run -b 127.0.0.1:9000 -w 2 --log-format json
  dispa validate -c config/config.toml --strict
  dispa explain --host example.com --path /api/users
  curl -H 'Host: example.com' http://localhost:8080/
`;

const WITH_OWN_HELP = ["init", "validate", "explain", "traffic", "healthcheck"];
const COMMANDS = ["run", ...WITH_OWN_HELP, "help"];

/** @param args without the program's name */
export async function main(args: string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (fault) {
    if (!(fault instanceof UsageError)) throw fault;
    const command = WITH_OWN_HELP.find((name) => name === args[0]);
    console.error(
      `dispa: ${fault.message}\nTry "dispa ${command === undefined ? "" : `${command} `}--help".`,
    );
    return ExitCode.Usage;
  }
}

async function dispatch(args: string[]): Promise<number> {
  const [first] = args;
  if (first === "--version" || first === "-V") {
    console.log(`dispa ${VERSION} (deno ${Deno.version.deno}, v8 ${Deno.version.v8})`);
    return ExitCode.Ok;
  }
  if (first === "help" && WITH_OWN_HELP.includes(args[1])) return await dispatch([args[1], "--help"]);
  if (first === "help" || first === "--help" || first === "-h") {
    console.log(HELP);
    return ExitCode.Ok;
  }
  // Commands are loaded when they are used: a running proxy keeps no code of the others in memory.
  if (first === undefined || first === "run" || first.startsWith("-")) {
    const rest = first === "run" ? args.slice(1) : args;
    if (rest.includes("--help") || rest.includes("-h")) {
      console.log(HELP);
      return ExitCode.Ok;
    }
    if (rest.includes("--validate")) {
      const { validate } = await import("./validate.ts");
      return await validate(rest.filter((arg) => arg !== "--validate"), RUN_FLAGS);
    }
    const { run } = await import("./run.ts");
    return await run(rest);
  }
  const rest = args.slice(1);
  switch (first) {
    case "init":
      return await (await import("./init.ts")).init(rest);
    case "validate":
      return await (await import("./validate.ts")).validate(rest);
    case "explain":
      return await (await import("./explain.ts")).explain(rest);
    case "healthcheck":
      return await (await import("./healthcheck.ts")).healthcheck(rest);
    case "traffic":
      return await (await import("./traffic.ts")).traffic(rest);
    default: {
      const near = nearest(first, COMMANDS);
      throw new UsageError(`unknown command "${first}"${near === null ? "" : `, did you mean "${near}"?`}`);
    }
  }
}
