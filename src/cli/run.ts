/** `dispa run`: start, serve until a signal, stop. */
import { loadConfig } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { type LogFormat, Logger } from "../runtime/log.ts";
import { WriterFailure } from "../runtime/log_writer.ts";
import { BindFailure, SetupFailure, Supervisor } from "../runtime/supervisor.ts";
import { configSource } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { parseFlags, UsageError } from "./flags.ts";
import { RUN_FLAGS } from "./run_flags.ts";

const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/** Exit status of a process that a signal ended, as shells report it. */
const SIGNAL_EXIT = { SIGINT: 130, SIGTERM: 143 } as const;

export async function run(args: string[]): Promise<number> {
  const { values } = parseFlags(args, RUN_FLAGS);
  const format = logFormat(values["log-format"]);
  const { path, load } = configSource(values, false);
  const result = await loadConfig(path, load);
  if (!result.ok) {
    for (const problem of result.problems) console.error(formatProblem(problem));
    console.error(`dispa: ${result.problems.length} problem(s) in the configuration, not started`);
    return ExitCode.ConfigError;
  }
  const { config } = result;
  const levelOverride = values.verbose ? "debug" : null;
  const logger = new Logger({ level: levelOverride ?? config.logging.level, format });
  for (const warning of result.warnings) logger.log("warn", formatProblem(warning));

  // `fetch` would send what is meant for a target to the proxy that these name.
  for (const name of PROXY_VARIABLES) Deno.env.delete(name);
  const supervisor = new Supervisor(config, {
    configPath: path,
    configText: result.text,
    load,
    logger,
    levelOverride,
  });
  // Before the start, so that no signal finds the program deaf.
  const stopped = stopSignal(supervisor, logger);
  try {
    await supervisor.start();
  } catch (fault) {
    logger.log("error", fault instanceof Error ? fault.message : String(fault));
    if (fault instanceof BindFailure) return ExitCode.BindError;
    if (fault instanceof SetupFailure) return ExitCode.ConfigError;
    if (fault instanceof WriterFailure) return ExitCode.DatabaseError;
    return ExitCode.Internal;
  }
  await stopped;
  await supervisor.shutdown();
  logger.log("info", "stopped");
  return ExitCode.Ok;
}

function logFormat(value: string | undefined): LogFormat {
  if (value === undefined) return "text";
  if (value === "text" || value === "json") return value;
  throw new UsageError(`--log-format is "${value}", allowed are text and json`);
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. Reloads on SIGHUP and SIGUSR1. */
function stopSignal(supervisor: Supervisor, logger: Logger): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let stopping = false;
  const stop = (signal: keyof typeof SIGNAL_EXIT) => {
    if (stopping) {
      logger.log("warn", `${signal} again: exiting at once`);
      Deno.exit(SIGNAL_EXIT[signal]);
    }
    stopping = true;
    logger.log("info", `${signal}: finishing what is in flight, once more to exit at once`);
    resolve();
  };
  Deno.addSignalListener("SIGINT", () => stop("SIGINT"));
  // Windows knows neither of the following.
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGTERM", () => stop("SIGTERM"));
    for (const signal of ["SIGHUP", "SIGUSR1"] as const) {
      Deno.addSignalListener(signal, () => supervisor.reload(signal));
    }
  }
  return promise;
}
