/** What `dispa` ends with (DESIGN 3). */
export const ExitCode = {
  Ok: 0,
  ConfigError: 1,
  BindError: 2,
  DatabaseError: 3,
  /** EX_USAGE of sysexits.h. */
  Usage: 64,
  /** A fault of Dispa itself (EX_SOFTWARE). */
  Internal: 70,
} as const;
