/** `[error_pages]`: what the answers look like that Dispa makes itself. */
import * as z from "zod";
import { choice, failureStatus, field, flag, list, parsedText, table } from "../fields.ts";
import type { ErrorPagesConfig } from "../model.ts";
import { parseFilePath, parseMediaType, parsePageText } from "../text_values.ts";

const statusOrClass = z.union([failureStatus(), choice("4xx", "5xx")], {
  error: 'a status from 400 to 599, "4xx" or "5xx"',
});

export const errorPageSchema = table({
  status: field(
    list(statusOrClass, 200, "statuses").min(1, { error: "at least one status" }),
    'Statuses the page is for: numbers, and "4xx" or "5xx" for all of a class that have no page of their own.',
  ),
  file: field(
    parsedText("the path of a file in quotes", parseFilePath).optional(),
    "File that holds the page, UTF-8, up to 64 KiB; relative to the working directory. It is read when the " +
      "configuration is loaded: after a change reload (SIGHUP).",
  ),
  text: field(
    parsedText("a text in quotes", parsePageText).optional(),
    "The page itself, in the place of a file. In both {code}, {status}, {title}, {message} and {request_id} stand " +
      "for what the answer is about, escaped as the page's type needs it.",
  ),
  content_type: field(
    parsedText('a media type such as "text/html; charset=utf-8"', parseMediaType).optional(),
    "Content-Type of the page.",
    {
      defaultNote:
        "by the file's ending: text/html for .html and .htm, application/json for .json; else text/plain",
    },
  ),
});

export const errorPagesSchema = table({
  problem_json: field(
    flag().prefault(true),
    "Whether clients whose Accept field puts JSON first get the answer as application/problem+json (RFC 9457), " +
      "unless the page for the status is JSON itself.",
  ),
  pages: field(
    list(errorPageSchema, 100, "pages").prefault([]),
    "Pages for the answers that Dispa makes itself, such as 404 for an unknown domain or 502 for a target that " +
      "cannot be reached. Answers of targets pass as they are. Statuses without a page are answered with a line " +
      "of text.",
  ),
});

const TYPE_BY_ENDING: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  htm: "text/html; charset=utf-8",
  json: "application/json",
};

/** @param textOf the content of a page's file, read before */
export function errorPagesFromFile(
  file: z.output<typeof errorPagesSchema>,
  textOf: (path: string) => string,
): ErrorPagesConfig {
  return {
    problemJson: file.problem_json,
    pages: file.pages.map(({ status, file: path, text, content_type }) => ({
      statuses: status,
      file: path ?? null,
      text: path === undefined ? text ?? "" : textOf(path),
      contentType: content_type ?? defaultType(path),
    })),
  };
}

function defaultType(path = ""): string {
  return TYPE_BY_ENDING[/\.([a-z]+)$/i.exec(path)?.[1].toLowerCase() ?? ""] ?? "text/plain; charset=utf-8";
}

export function errorPagesToFile(pages: ErrorPagesConfig): z.input<typeof errorPagesSchema> {
  return {
    problem_json: pages.problemJson,
    pages: pages.pages.map(({ statuses, file, text, contentType }) => ({
      status: statuses,
      ...(file === null ? { text } : { file }),
      content_type: contentType,
    })),
  };
}
