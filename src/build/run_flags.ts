/**
 * How the runtime is told to run the program: the one list for the executable, the tasks and the tests.
 * docs/SECURITY.md says what each permission is for.
 */

const PERMISSIONS = [
  // Clients, targets, the database, the rate limit store, keys for JWT.
  "--allow-net",
  // The configuration and what it names may be anywhere.
  "--allow-read",
  "--allow-write",
  // ${NAME} in the configuration stands for any variable.
  "--allow-env",
  // Command plugins.
  "--allow-run",
];

/** A small young generation: half the memory under load at the same cost in processor time. */
const V8_FLAGS = "--v8-flags=--max-semi-space-size=2";

/** A permission that is missing is an error, never a question to a terminal. */
export const RUN_FLAGS = ["--no-prompt", ...PERMISSIONS, V8_FLAGS];
