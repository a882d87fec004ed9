/** Settings of `type = "headerinjector"`. */
import type * as z from "zod";
import { closedTable, field } from "../fields.ts";
import { headerTable, parseHeaderName, parseRequestHeaderName } from "../header_fields.ts";

export const headerInjectorSettings = closedTable({
  request_headers: field(
    headerTable(parseRequestHeaderName).prefault({}),
    'Headers that are set on the request to the target, in place of those it has. The value "generated" makes an id: ' +
      "for x-request-id that of the request, as it is in the traffic log, for others a new UUID. {{uuid}} inside a " +
      "value becomes a new UUID.",
  ),
  response_headers: field(
    headerTable(parseHeaderName).prefault({}),
    "Headers that are set on the answer to the client, with the same forms of values.",
  ),
});

export type HeaderInjectorSettings = z.output<typeof headerInjectorSettings>;
