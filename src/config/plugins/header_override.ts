/** Settings of `type = "headeroverride"`. */
import type * as z from "zod";
import { closedTable, field } from "../fields.ts";
import { headerNames, headerTable, parseHeaderName, parseRequestHeaderName } from "../header_fields.ts";

export const headerOverrideSettings = closedTable({
  request_headers: field(
    headerTable(parseRequestHeaderName).prefault({}),
    "Headers that are set on the request to the target, in place of those it has; every value is taken as it is.",
  ),
  response_headers: field(
    headerTable(parseHeaderName).prefault({}),
    "Headers that are set on the answer to the client, in place of those it has.",
  ),
  remove_request_headers: field(
    headerNames(parseRequestHeaderName).prefault([]),
    "Headers that are taken out of the request; removed first, so that one may be set again.",
  ),
  remove_response_headers: field(
    headerNames(parseHeaderName).prefault([]),
    "Headers that are taken out of the answer; removed first, so that one may be set again.",
  ),
});

export type HeaderOverrideSettings = z.output<typeof headerOverrideSettings>;
