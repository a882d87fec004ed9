/** `dispa validate`: everything a start would find wrong, without binding or writing anything. */
import { loadConfig } from "../config/load.ts";
import { formatProblem } from "../config/problem.ts";
import { printConfig } from "../config/print.ts";
import { CONFIG_FLAGS, configSource } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { type FlagTable, parseFlags } from "./flags.ts";

const HELP = `Usage: dispa validate [-c FILE] [--strict] [--print]

Checks the configuration and lists every problem with file, line and key.

  -c, --config FILE   configuration (default: config/config.toml, or $DISPA_CONFIG)
      --strict        warnings (such as unknown keys) are errors
      --print         print the configuration as it would be used, defaults filled in, secrets masked

Exit codes: 0 valid, 1 not valid.

Examples:
  dispa validate -c config/config.toml
  dispa validate --strict --print > effective.toml
`;

/** @param others flags that are taken and mean nothing here: those of the start that `--validate` stands among */
export async function validate(args: string[], others: FlagTable = {}): Promise<number> {
  const { values } = parseFlags(args, {
    ...others,
    ...CONFIG_FLAGS,
    strict: { type: "boolean" },
    print: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (values.help) {
    console.log(HELP);
    return ExitCode.Ok;
  }
  const { path, load } = configSource(values, values.strict ?? false);
  const result = await loadConfig(path, load);
  for (const warning of result.warnings) console.error(`warning: ${formatProblem(warning)}`);
  if (!result.ok) {
    for (const problem of result.problems) console.error(formatProblem(problem));
    console.error(`${path}: ${result.problems.length} problem(s)`);
    return ExitCode.ConfigError;
  }
  if (values.print) console.log(printConfig(result.config, result.text, load.environment));
  else console.log(`${path}: valid`);
  return ExitCode.Ok;
}
