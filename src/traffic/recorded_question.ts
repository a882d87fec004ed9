/** From a recorded request to the question what would become of it now. */
import type { QuestionParts } from "../http/explanation.ts";
import type { TrafficRow } from "./record.ts";

/** What is recorded of a request: not its fields, and its query only with `logging.record_query`. */
export function recordedQuestion(record: TrafficRow): QuestionParts {
  return {
    host: record.host,
    path: record.path,
    method: record.method,
    clientIp: record.client_ip,
    headers: record.user_agent === null ? [] : [`user-agent: ${record.user_agent}`],
  };
}
