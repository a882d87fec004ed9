/** The program's version: the one place that says it. */
export const VERSION = "0.1.0";
