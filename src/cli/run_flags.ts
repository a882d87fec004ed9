/** The flags of `dispa run`, in a file of their own so that other commands need not load the program. */
import { CONFIG_FLAGS } from "./config_flags.ts";

export const RUN_FLAGS = {
  ...CONFIG_FLAGS,
  verbose: { type: "boolean", short: "v" },
  "log-format": { type: "string" },
} as const;
