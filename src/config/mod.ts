/** The public face of `config`. */
export { checkConfig } from "./check.ts";
export type { CheckOptions, CheckResult } from "./check.ts";
export { configPathFromEnvironment } from "./environment.ts";
export type { Environment, Overrides } from "./environment.ts";
export { loadConfig } from "./load.ts";
export type { LoadOptions, LoadResult } from "./load.ts";
export type * from "./model.ts";
export { printConfig } from "./print.ts";
export { formatProblem } from "./problem.ts";
export type { Problem } from "./problem.ts";
export { redactUrl } from "./redact.ts";
export { configSchema } from "./schema.ts";
export { watchConfig } from "./watch.ts";
export type { ConfigWatch, WatchOptions } from "./watch.ts";
