/** Runs the steps of live traffic for a request that nobody has sent, up to the point where it would be forwarded. */
import { type ExplainQuestion, type Explanation, shownValue, type StepOutcome } from "../http/explanation.ts";
import { ERROR_STATUS } from "../http/refusal.ts";
import { Exchange, type IncomingRequest } from "./exchange.ts";
import { type Forwarder, upstreamUrl } from "./forward.ts";
import { clientRequestId, readFields } from "./headers.ts";
import { Authorities, receive } from "./receive.ts";
import type { Snapshot } from "./snapshot.ts";
import { type Ending, isRefusal, runSteps } from "./steps.ts";
import { Trace } from "./trace.ts";
import { readUpgrade } from "./upgrade.ts";

/** Stands for the id that a request without one would get. */
const NEW_ID = "(new id)";

export async function explain(
  snapshot: Snapshot,
  forwarder: Forwarder,
  question: ExplainQuestion,
): Promise<Explanation> {
  const exchange = exchangeOf(snapshot, question);
  const trace = new Trace(true);
  exchange.trace = trace;
  const refusal = receive(exchange, new Authorities(), null) ?? readUpgrade(exchange);
  if (refusal !== null) return ended(exchange, trace, "receive", refusal);
  trace.add("receive", "passed", `${exchange.method} ${exchange.target} for ${exchange.host}`, {
    method: exchange.method,
    host: exchange.host,
    path: exchange.path,
    query: exchange.query,
    client_ip: exchange.clientIp,
  });
  const ending = await runSteps(exchange);
  if (ending !== null) return ended(exchange, trace, ending.step, ending.ending);
  const target = forwarder.foresee(exchange);
  if (isRefusal(target)) return ended(exchange, trace, "target", target);
  return {
    outcome: "forward",
    status: null,
    code: null,
    message: null,
    ...taken(exchange),
    target: target.name,
    steps: trace.entries,
    upstream: {
      target: target.name,
      url: upstreamUrl(exchange, target),
      method: exchange.method,
      headers: pairs(exchange),
    },
  };
}

function exchangeOf(snapshot: Snapshot, question: ExplainQuestion): Exchange {
  const headers = new Headers();
  headers.set("host", question.authority);
  for (let i = 0; i < question.headers.length; i += 2) {
    headers.append(question.headers[i], question.headers[i + 1]);
  }
  const request: IncomingRequest = {
    method: question.method,
    url: `${question.scheme}://${question.authority}${question.target}`,
    headers,
    body: null,
    signal: new AbortController().signal,
  };
  const fields = readFields(headers);
  const origin = snapshot.originOf(question.peerIp, question.scheme, fields);
  const exchange = new Exchange(request, snapshot, origin, fields, null, () => {});
  exchange.id = NEW_ID;
  exchange.requestId = clientRequestId(fields) ?? NEW_ID;
  return exchange;
}

function ended(exchange: Exchange, trace: Trace, step: string, ending: Ending): Explanation {
  const common = { ...taken(exchange), target: null, steps: trace.entries, upstream: null };
  if (isRefusal(ending)) {
    const { code, message } = ending;
    conclude(trace, step, "refused", message, { code, status: ERROR_STATUS[code] });
    return { outcome: "refuse", status: ERROR_STATUS[code], code, message, ...common };
  }
  const { status } = ending;
  conclude(trace, step, "answered", `answered with ${status}`, { status });
  const message = exchange.errorMessage;
  return { outcome: "answer", status, code: null, message, ...common };
}

/** Says how the exchange ended, unless the step has said so itself. */
function conclude(trace: Trace, step: string, ...how: [StepOutcome, string, Record<string, unknown>]): void {
  const last = trace.entries.at(-1);
  if (last?.step !== step || last.outcome !== how[0]) trace.add(step, ...how);
}

function taken({ domain, route }: Exchange) {
  return { domain, route: route?.name ?? null };
}

function pairs(exchange: Exchange): [string, string][] {
  const { headers } = exchange;
  const shown: [string, string][] = [];
  for (let i = 0; i < headers.length; i += 2) {
    shown.push([headers[i], shownValue(headers[i], headers[i + 1])]);
  }
  return shown;
}
