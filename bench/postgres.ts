/** A private PostgreSQL server, started when the first variant asks for a database. */
import { requiresPostgres, startPostgres } from "../tests/support/postgres.ts";
import type { Workshop } from "./workshop.ts";

export const POSTGRES_MISSING = requiresPostgres().ignore ? "PostgreSQL's server is not installed" : null;

export function postgresDatabases(workshop: Workshop): () => Promise<string> {
  let server: ReturnType<typeof startPostgres> | null = null;
  return async () => {
    if (server === null) {
      server = startPostgres();
      // A failed start is reported by whoever asked for the database.
      const started = server.catch(() => null);
      workshop.defer(async () => await (await started)?.remove());
    }
    return (await server).newDatabase();
  };
}
