/** /admin/targets: what targets do, and what operators make of them. */
import { Hono } from "hono";
import type { BalancedTarget } from "../balancing/balancer.ts";
import type { Access, AdminEnv } from "./access.ts";
import { MAX_FORCE_SECONDS, MAX_WEIGHT, type TargetAction, type TargetChanged, type Targets } from "./api.ts";
import type { Audit } from "./audit_trail.ts";
import { AdminFailure } from "./failure.ts";
import { parseJson } from "./session_routes.ts";
import type { AdminSource } from "./source.ts";
import { loadBalancer, targets } from "./status.ts";

export function targetRoutes(source: AdminSource, access: Access, audit: Audit): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();

  app.get("/", access.atLeast("viewer"), (c) => {
    const answer: Targets = {
      load_balancer: loadBalancer(source.config()),
      targets: targets(source, source.metrics()),
    };
    return c.json(answer);
  });

  app.post("/", access.atLeast("editor"), async (c) => {
    const action = parseAction(parseJson(await c.req.text()));
    const target = source.targets().find(({ config }) => config.name === action.target);
    if (target === undefined) {
      const names = source.targets().map(({ config }) => config.name);
      throw new AdminFailure(
        "not_found",
        `there is no target ${JSON.stringify(action.target.slice(0, 100))}, known are ${
          names.slice(0, 20).join(", ")
        }`,
      );
    }
    act(source, target, action);
    const detail = describe(action);
    source.log("info", `target ${action.target}: ${action.action}${detail === null ? "" : ` ${detail}`}`);
    await audit(c, { action: `target.${action.action}`, subject: action.target, detail });
    const changed = targets(source, source.metrics()).find(({ name }) => name === action.target)!;
    const answer: TargetChanged = { target: changed, note: noteOn(source, action) };
    return c.json(answer);
  });
  return app;
}

function act({ overrides }: AdminSource, target: BalancedTarget, action: TargetAction): void {
  switch (action.action) {
    case "drain":
      return overrides.setDraining(target, true);
    case "resume":
      return overrides.setDraining(target, false);
    case "weight":
      return overrides.setWeight(target, action.weight);
    case "force":
      return overrides.force(target, action.state, action.seconds * 1000);
    case "unforce":
      return overrides.unforce(target);
  }
}

function describe(action: TargetAction): string | null {
  if (action.action === "weight") return action.weight === null ? "of the configuration" : `${action.weight}`;
  return action.action === "force" ? `${action.state} for ${action.seconds} s` : null;
}

function noteOn(source: AdminSource, action: TargetAction): string | null {
  const { type, stickySessions } = source.config().targets.balancing;
  if (action.action === "weight" && type === "roundrobin") {
    return "round robin ignores weights: they count when targets.load_balancing.type is another one";
  }
  if (
    action.action === "drain" && !source.targets().some(({ slot }) => source.overrides.table.isUsable(slot))
  ) {
    return "no target is left that requests could go to: they are answered by 503";
  }
  if (action.action === "drain" && stickySessions) return "clients that stick to this target move to others";
  return null;
}

/** @throws AdminFailure for anything that is no action, with what is wanted instead */
function parseAction(value: unknown): TargetAction {
  const body = typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  const { target, action, weight, state, seconds } = body;
  if (typeof target !== "string") throw malformed("target", target, "the name of a target");
  switch (action) {
    case "drain":
    case "resume":
    case "unforce":
      return { target, action };
    case "weight":
      if (weight !== null && (typeof weight !== "number" || !(weight > 0 && weight <= MAX_WEIGHT))) {
        throw malformed(
          "weight",
          weight,
          `a number above 0 up to ${MAX_WEIGHT}, or null for the configuration's`,
        );
      }
      return { target, action, weight };
    case "force":
      if (state !== "healthy" && state !== "unhealthy") {
        throw malformed("state", state, "healthy or unhealthy");
      }
      if (!Number.isInteger(seconds) || Number(seconds) < 1 || Number(seconds) > MAX_FORCE_SECONDS) {
        throw malformed("seconds", seconds, `a whole number from 1 to ${MAX_FORCE_SECONDS}`);
      }
      return { target, action, state, seconds: Number(seconds) };
    default:
      throw malformed("action", action, "drain, resume, weight, force or unforce");
  }
}

function malformed(name: string, found: unknown, wanted: string): AdminFailure {
  const text = found === undefined ? "is missing" : `is ${JSON.stringify(found).slice(0, 100)}`;
  return new AdminFailure("bad_request", `cannot change a target: ${name} ${text}, wanted ${wanted}`);
}
