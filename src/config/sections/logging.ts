/** `[logging]`: the record of traffic, in files or a database, and the level of the program's own log. */
import type * as z from "zod";
import {
  byteCount,
  choice,
  field,
  flag,
  parsedText,
  seconds,
  table,
  toSeconds,
  wholeNumber,
} from "../fields.ts";
import type { LoggingConfig } from "../model.ts";
import { parseDatabaseUrl, parseFilePath } from "../text_values.ts";

const TEBIBYTE = 1024 ** 4;

const fileSchema = table({
  directory: field(
    parsedText("a folder in quotes", parseFilePath).prefault("./logs"),
    "Folder of the traffic files; made if it is not there.",
  ),
  rotation: field(
    flag().prefault(true),
    "Whether a file that reaches max_file_size is followed by a numbered one.",
  ),
  max_file_size: field(
    byteCount(1000, TEBIBYTE).prefault(100_000_000),
    "Bytes after which a file is rotated.",
  ),
});

const databaseSchema = table({
  url: field(
    parsedText("a database URL in quotes", parseDatabaseUrl).prefault("sqlite://./data/traffic.db"),
    "sqlite://PATH, sqlite::memory: or postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Secret if it holds a password: " +
      "write ${NAME} and set the variable.",
  ),
  max_connections: field(wholeNumber(1, 1000).prefault(10), "Most connections to PostgreSQL."),
  connection_timeout: field(seconds().prefault(30), "Seconds to wait for a connection to the database."),
  required: field(
    flag().prefault(true),
    "Whether a database that cannot be reached at start ends the program; with false records wait in the spool.",
  ),
  spool_max_bytes: field(
    byteCount(65_536, TEBIBYTE).prefault(1_073_741_824),
    "Most bytes of records kept on disk while the database is away; beyond it records are dropped and counted.",
  ),
  spool_directory: field(
    parsedText("a folder in quotes", parseFilePath).prefault("./data/spool"),
    "Folder of the records that wait for the database.",
  ),
});

export const loggingSchema = table({
  enabled: field(flag().prefault(true), "Whether traffic is recorded at all."),
  type: field(
    choice("file", "database", "both").prefault("file"),
    "Where traffic is recorded: file, database, or both.",
    { aliases: ["log_type"] },
  ),
  level: field(
    choice("debug", "info", "warn", "error").prefault("info"),
    "Least severity of the messages on stderr: debug, info, warn or error.",
    { spellings: { warning: "warn" } },
  ),
  retention_days: field(
    wholeNumber(0, 36_500).prefault(0),
    "Days after which files and rows of recorded traffic are removed; 0 keeps them for ever.",
  ),
  flush_interval: field(
    seconds(0.001, 60).prefault(0.1),
    "Seconds a record waits at most before it is written; a kill loses at most this much.",
  ),
  overflow: field(
    choice("drop", "block").prefault("drop"),
    "What happens to records when the queue is full: drop loses and counts them, block makes requests wait.",
  ),
  queue_max_bytes: field(
    byteCount(65_536, 1_073_741_824).prefault(16_777_216),
    "Bytes of records that may wait between the proxy threads and the writer.",
  ),
  record_query: field(
    flag().prefault(false),
    "Whether the query string is part of the recorded path; it may hold secrets of the clients.",
  ),
  file: field(fileSchema.prefault({}), "Traffic files."),
  database: field(databaseSchema.prefault({}), "Traffic database."),
});

export function loggingFromFile(file: z.output<typeof loggingSchema>): LoggingConfig {
  return {
    enabled: file.enabled,
    type: file.type,
    level: file.level,
    retentionDays: file.retention_days,
    flushIntervalMs: file.flush_interval,
    overflow: file.overflow,
    queueMaxBytes: file.queue_max_bytes,
    recordQuery: file.record_query,
    file: {
      directory: file.file.directory,
      rotation: file.file.rotation,
      maxFileSizeBytes: file.file.max_file_size,
    },
    database: {
      url: file.database.url,
      maxConnections: file.database.max_connections,
      connectionTimeoutMs: file.database.connection_timeout,
      required: file.database.required,
      spoolMaxBytes: file.database.spool_max_bytes,
      spoolDirectory: file.database.spool_directory,
    },
  };
}

export function loggingToFile(logging: LoggingConfig): z.input<typeof loggingSchema> {
  return {
    enabled: logging.enabled,
    type: logging.type,
    level: logging.level,
    retention_days: logging.retentionDays,
    flush_interval: toSeconds(logging.flushIntervalMs),
    overflow: logging.overflow,
    queue_max_bytes: logging.queueMaxBytes,
    record_query: logging.recordQuery,
    file: {
      directory: logging.file.directory,
      rotation: logging.file.rotation,
      max_file_size: logging.file.maxFileSizeBytes,
    },
    database: {
      url: logging.database.url,
      max_connections: logging.database.maxConnections,
      connection_timeout: toSeconds(logging.database.connectionTimeoutMs),
      required: logging.database.required,
      spool_max_bytes: logging.database.spoolMaxBytes,
      spool_directory: logging.database.spoolDirectory,
    },
  };
}
