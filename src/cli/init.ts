/** `dispa init`: a configuration to start from, so that the executable needs no other file beside it. */
import { dirname } from "node:path";
import shortConfig from "../../config/config.toml" with { type: "text" };
import fullConfig from "../../config/config.example.toml" with { type: "text" };
import { configSource, DEFAULT_CONFIG_PATH } from "./config_flags.ts";
import { ExitCode } from "./exit_codes.ts";
import { parseFlags } from "./flags.ts";

const HELP = `Usage: dispa init [--full] [--force] [FILE]

Writes a commented configuration to start from.

  FILE            where to (default: ${DEFAULT_CONFIG_PATH}, or $DISPA_CONFIG); its folder is made
      --full      every key with its meaning and default, not only the usual ones
      --force     overwrite a file that is there

Exit codes: 0 written, 1 not written.

Examples:
  dispa init
  dispa init --full /etc/dispa/config.toml
`;

export async function init(args: string[]): Promise<number> {
  const { values, positionals } = parseFlags(args, {
    full: { type: "boolean" },
    force: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  }, 1);
  if (values.help) {
    console.log(HELP);
    return ExitCode.Ok;
  }
  const usual = configSource({}, false).path;
  const path = positionals[0] ?? usual;
  try {
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, forUsers(values.full ? fullConfig : shortConfig), {
      createNew: !values.force,
    });
  } catch (fault) {
    console.error(`${path}: cannot write the configuration: ${reasonOf(fault)}`);
    return ExitCode.ConfigError;
  }
  const flag = path === usual ? "" : ` -c ${path}`;
  console.log(`${path}: written

Next:
  1. Name your domains and targets in it
  2. dispa validate${flag}
  3. dispa run${flag}
  4. curl -H 'Host: example.com' http://localhost:8080/`);
  return ExitCode.Ok;
}

/** Without the line that tells editors of a schema, which only the repository has beside the file. */
function forUsers(text: string): string {
  return text.replace(/^#:schema .*\n/, "");
}

function reasonOf(fault: unknown): string {
  if (fault instanceof Deno.errors.AlreadyExists) {
    return "there is such a file already; name another, or overwrite it with --force";
  }
  if (fault instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (fault instanceof Deno.errors.IsADirectory) return "it is a directory";
  return fault instanceof Error ? fault.message : String(fault);
}
