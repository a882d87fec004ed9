/** Entry point of a thread that answers one question to the traffic log, so that nothing else waits for it. */
import type { TrafficAnswer, TrafficQuestion } from "../admin/source.ts";
import { openReader } from "../traffic/query.ts";
import type { TrafficReader } from "../traffic/reader.ts";
import { reasonOf, TrafficOpenError } from "../traffic/sink.ts";
import { Slowest } from "../traffic/slowest.ts";
import type { FromQuery, ToQuery } from "./messages.ts";
import { threadScope } from "./thread_scope.ts";

const scope = threadScope<ToQuery, FromQuery>();

scope.onmessage = async (event) => {
  const { logging, question } = event.data;
  try {
    const reader = await openReader(logging, question.source);
    try {
      scope.postMessage(await answerOf(reader, question));
    } finally {
      await reader.close();
    }
  } catch (fault) {
    const unreadable = fault instanceof TrafficOpenError;
    const message = unreadable ? fault.message : `cannot read the traffic log: ${reasonOf(fault)}`;
    scope.postMessage({ kind: "unreadable", message });
  }
};

async function answerOf(reader: TrafficReader, question: TrafficQuestion): Promise<TrafficAnswer> {
  if (question.kind === "stats") {
    return { kind: "stats", groups: await reader.stats(question.filter, question.by) };
  }
  const { filter, limit, order } = question;
  if (order === "newest") {
    return { kind: "records", records: await Array.fromAsync(reader.query(filter, limit)) };
  }
  const slowest = new Slowest(limit);
  for await (const row of reader.query(filter, 0)) slowest.add(row);
  return { kind: "records", records: slowest.records() };
}
