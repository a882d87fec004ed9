/** `[routing]`: rules that choose targets by what is asked, change requests and answers, or answer themselves. */
import * as z from "zod";
import { byteCount, choice, decimal, field, flag, list, type Parsed, parsedText, table } from "../fields.ts";
import { wholeNumber } from "../fields.ts";
import { parseHeaderName } from "../header_fields.ts";
import type { MirrorConfig, RouteRule, RoutingConfig, SplitKey, SplitPart, TargetChoice } from "../model.ts";
import { parseName } from "../text_values.ts";
import {
  customResponseFromFile,
  customResponseSchema,
  customResponseToFile,
  headersFromFile,
  headersToFile,
  pathFromFile,
  pathToFile,
  redirectFromFile,
  redirectSchema,
  redirectToFile,
  requestActionsSchema,
  responseActionsSchema,
} from "./route_actions.ts";
import { conditionsFromFile, conditionsSchema, conditionsToFile } from "./route_conditions.ts";

const MAX_RULES = 10_000;
const MAX_PARTS = 64;
const MAX_PLUGINS = 256;
const MAX_TARGETS = 4096;
const PRIORITIES = 1_000_000;

const name = () => parsedText("a name in quotes", parseName);

function parseSplitKey(text: string): Parsed<SplitKey | null> {
  if (text === "none") return { ok: true, value: null };
  if (text === "ip") return { ok: true, value: { by: "ip" } };
  const wanted = '"none", "ip", "header:NAME" or "cookie:NAME"';
  const [, by, name] = /^(header|cookie):(.+)$/.exec(text) ?? [];
  if (name === undefined) return { ok: false, wanted };
  // Names of cookies are tokens too (RFC 6265 section 4.1.1), but their case counts.
  const field = parseHeaderName(name);
  if (by === "header") return field.ok ? { ok: true, value: { by, name: field.value } } : field;
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/.test(name)
    ? { ok: true, value: { by: "cookie", name } }
    : { ok: false, wanted };
}

const splitPartSchema = table({
  target: field(name().optional(), "Target of this part."),
  group: field(name().optional(), "Group whose targets are this part, in place of target."),
  weight: field(
    decimal(0, 1_000_000),
    "Share of the requests relative to the other parts; 0 gives none.",
  ),
});

const mirrorSchema = table({
  target: field(name(), "Target that gets a copy of the request; its answer is dropped."),
  percent: field(decimal(0, 100).prefault(100), "Share of the requests that are copied, in percent.", {
    aliases: ["sample"],
  }),
  max_body_bytes: field(
    byteCount(0, 67_108_864).prefault(1_048_576),
    "Requests with a longer body are not copied, because the body is held in memory until the copy is sent; 0 copies " +
      "only requests without a body.",
  ),
});

const pluginNames = (when: string) =>
  field(
    list(name(), MAX_PLUGINS, "names of plugins").prefault([]),
    `Plugins that run on ${when} of this rule, by name, besides those that run on all.`,
  );

/** Exported for the cross-checks and `routing_forms.ts`, which look at rules that are not all right. */
export const ruleSchema = table({
  name: field(name(), "Name of the rule in records, logs and explanations; unique."),
  priority: field(
    wholeNumber(-PRIORITIES, PRIORITIES).prefault(0),
    "Rules are tried from the largest priority to the smallest, equal ones in the order of the file; the first that " +
      "fits is taken.",
  ),
  enabled: field(flag().prefault(true), "Whether the rule is tried."),
  conditions: field(
    conditionsSchema.prefault({}),
    "What a request has to be like; all conditions have to hold. Without any, the rule takes every request.",
  ),
  target: field(name().optional(), "Target that the requests go to.", {
    defaultNote: "routing.default_target, or all targets",
  }),
  targets: field(
    list(name(), MAX_TARGETS, "names of targets").min(1, { error: "at least one name" }).optional(),
    "Targets that the requests are spread over, in place of target.",
  ),
  group: field(name().optional(), "Group whose targets the requests are spread over, in place of target."),
  split: field(
    list(splitPartSchema, MAX_PARTS, "parts").min(1, { error: "at least one part" }).optional(),
    'Shares of the requests, in place of target: [{ target = "stable", weight = 95 }, { group = "canary", weight = 5 }].',
  ),
  split_sticky: field(
    parsedText("text in quotes", parseSplitKey).prefault("none"),
    "What keeps a client on its part of the split: none, ip, header:NAME or cookie:NAME. Requests without that " +
      "header or cookie go by IP.",
  ),
  mirror: field(
    mirrorSchema.optional(),
    "Copies of the requests for another target; they neither slow nor fail the real ones.",
  ),
  request_actions: field(
    requestActionsSchema.prefault({}),
    "Changes of the request before it is forwarded.",
    {
      aliases: ["actions"],
    },
  ),
  response_actions: field(responseActionsSchema.prefault({}), "Changes of the target's answer."),
  custom_response: field(
    customResponseSchema.optional(),
    "An answer that is given at once; nothing is forwarded.",
  ),
  redirect: field(redirectSchema.optional(), "A redirect that is given at once; nothing is forwarded."),
  plugins_request: pluginNames("requests"),
  plugins_response: pluginNames("answers"),
  plugins_order: field(
    choice("as_listed", "name_asc", "name_desc").prefault("as_listed"),
    "Order of this rule's plugins: as they are listed, or by name.",
  ),
  plugins_dedup: field(flag().prefault(false), "Whether a plugin that is listed twice runs once."),
});

export const routingSchema = table({
  enabled: field(
    flag().prefault(true),
    "Whether the rules and default_target are used; with false requests go to all targets.",
  ),
  enable_logging: field(
    flag().prefault(false),
    "Whether the program's log tells of each request which rule took it, at level debug (logging.level). The record of " +
      "traffic names the rule in any case.",
  ),
  default_target: field(
    name().optional(),
    "Target of requests that no rule takes, or whose rule names no target.",
    { defaultNote: "all targets" },
  ),
  rules: field(list(ruleSchema, MAX_RULES, "rules").prefault([]), "The rules."),
});

type RuleFile = z.output<typeof ruleSchema>;

export function routingFromFile(file: z.output<typeof routingSchema>): RoutingConfig {
  return {
    enabled: file.enabled,
    enableLogging: file.enable_logging,
    defaultTarget: file.default_target ?? null,
    rules: file.rules.map(ruleFromFile),
  };
}

function ruleFromFile(file: RuleFile): RouteRule {
  return {
    name: file.name,
    priority: file.priority,
    enabled: file.enabled,
    conditions: conditionsFromFile(file.conditions),
    targets: targetsFromFile(file),
    mirror: file.mirror === undefined ? null : mirrorFromFile(file.mirror),
    requestHeaders: headersFromFile(file.request_actions.headers),
    requestPath: pathFromFile(file.request_actions.path),
    responseHeaders: headersFromFile(file.response_actions.headers),
    customResponse: file.custom_response === undefined ? null : customResponseFromFile(file.custom_response),
    redirect: file.redirect === undefined ? null : redirectFromFile(file.redirect),
    pluginsRequest: file.plugins_request,
    pluginsResponse: file.plugins_response,
    pluginsOrder: file.plugins_order,
    pluginsDedup: file.plugins_dedup,
  };
}

/** The cross-checks have seen to it that a rule has no more than one of these keys. */
function targetsFromFile({ target, targets, group, split, split_sticky }: RuleFile): TargetChoice {
  if (target !== undefined) return { by: "target", target };
  if (targets !== undefined) return { by: "targets", targets };
  if (group !== undefined) return { by: "group", group };
  if (split !== undefined) return { by: "split", parts: split.map(partFromFile), sticky: split_sticky };
  return { by: "all" };
}

function partFromFile({ target, group, weight }: z.output<typeof splitPartSchema>): SplitPart {
  return {
    choice: group === undefined ? { by: "target", target: target ?? "" } : { by: "group", group },
    weight,
  };
}

function mirrorFromFile(file: z.output<typeof mirrorSchema>): MirrorConfig {
  return { target: file.target, percent: file.percent, maxBodyBytes: file.max_body_bytes };
}

export function routingToFile(routing: RoutingConfig): z.input<typeof routingSchema> {
  return {
    enabled: routing.enabled,
    enable_logging: routing.enableLogging,
    default_target: routing.defaultTarget ?? undefined,
    rules: routing.rules.map(ruleToFile),
  };
}

function ruleToFile(rule: RouteRule): z.input<typeof ruleSchema> {
  return {
    name: rule.name,
    priority: rule.priority,
    enabled: rule.enabled,
    conditions: conditionsToFile(rule.conditions),
    ...targetsToFile(rule.targets),
    mirror: rule.mirror === null ? undefined : mirrorToFile(rule.mirror),
    request_actions: { headers: headersToFile(rule.requestHeaders), path: pathToFile(rule.requestPath) },
    response_actions: { headers: headersToFile(rule.responseHeaders) },
    custom_response: rule.customResponse === null ? undefined : customResponseToFile(rule.customResponse),
    redirect: rule.redirect === null ? undefined : redirectToFile(rule.redirect),
    plugins_request: rule.pluginsRequest,
    plugins_response: rule.pluginsResponse,
    plugins_order: rule.pluginsOrder,
    plugins_dedup: rule.pluginsDedup,
  };
}

function targetsToFile(choice: TargetChoice): Partial<z.input<typeof ruleSchema>> {
  switch (choice.by) {
    case "all":
      return {};
    case "target":
      return { target: choice.target };
    case "targets":
      return { targets: choice.targets };
    case "group":
      return { group: choice.group };
    case "split":
      return {
        split: choice.parts.map(({ choice, weight }) =>
          choice.by === "target" ? { target: choice.target, weight } : { group: choice.group, weight }
        ),
        split_sticky: splitKeyText(choice.sticky),
      };
  }
}

function splitKeyText(key: SplitKey | null): string {
  return key === null ? "none" : key.by === "ip" ? "ip" : `${key.by}:${key.name}`;
}

function mirrorToFile(mirror: MirrorConfig): z.input<typeof mirrorSchema> {
  return { target: mirror.target, percent: mirror.percent, max_body_bytes: mirror.maxBodyBytes };
}
